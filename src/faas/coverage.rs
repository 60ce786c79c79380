//! What of an attack would show today, function by function, and what is missing to see the rest.
//!
//! A [`Cue`] is something that telemetry can tell and often does not: who writes it decides whether an attack leaves a
//! trace at all. Each [`Class`] of attack shows in any of several sets of cues; the classes cover the behaviours that are
//! known of compromised functions. Coverage says what *could* be seen, not what was: a cue that a function had no occasion
//! to give counts as missing.

use crate::detect::observation::{Channel, Family, Nanos, Observation, Quantity};

/// A cue not given for so long, in the function's own time, is no longer given.
const FORGOTTEN_AFTER: Nanos = 7 * 86_400 * 1_000_000_000;

/// Something that telemetry of a function can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cue {
    /// Its own spans, one invocation each.
    Spans,
    /// Which operations it calls.
    Operations,
    /// What it calls them on: table, bucket, queue, secret.
    Resources,
    /// Where it connects to.
    Destinations,
    /// How it asks: statements of databases.
    Statements,
    /// Bytes that calls send or receive.
    Bytes,
    /// Items or rows that calls return.
    Rows,
    /// What it logs.
    Logs,
    /// What the platform reports of each invocation.
    Reports,
    /// The size of its answers, as the platform counts it.
    Answers,
    /// What the called services record.
    Records,
    /// Who changed it.
    Changes,
    /// Sums over a minute, by the platform.
    Sums,
    /// Which environment ran each invocation.
    Environments,
}

const CUES: usize = 14;

impl Cue {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; CUES] = [
        Self::Spans,
        Self::Operations,
        Self::Resources,
        Self::Destinations,
        Self::Statements,
        Self::Bytes,
        Self::Rows,
        Self::Logs,
        Self::Reports,
        Self::Answers,
        Self::Records,
        Self::Changes,
        Self::Sums,
        Self::Environments,
    ];

    /// What a person calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans of invocations",
            Self::Operations => "operations called",
            Self::Resources => "resources touched",
            Self::Destinations => "destinations",
            Self::Statements => "statements",
            Self::Bytes => "bytes of calls",
            Self::Rows => "items returned",
            Self::Logs => "logs",
            Self::Reports => "platform reports",
            Self::Answers => "size of answers",
            Self::Records => "records of called services",
            Self::Changes => "records of changes",
            Self::Sums => "sums over a minute",
            Self::Environments => "environments",
        }
    }

    /// How to have it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Spans => "wrap the handler with an OpenTelemetry instrumentation and send its spans here",
            Self::Operations => "instrument the cloud's SDK and database clients (rpc.method, db.operation.name)",
            Self::Resources => {
                "have the SDK's instrumentation name what is touched (aws.dynamodb.table_names, aws.s3.bucket, \
                 messaging.destination.name, db.collection.name)"
            }
            Self::Destinations => "instrument HTTP clients (server.address or url.full on client spans)",
            Self::Statements => "have the database instrumentation send db.query.text, parameters left out",
            Self::Bytes => {
                "have HTTP clients tell sizes (http.request.body.size, http.response.body.size; or the content-length \
                 headers, captured)"
            }
            Self::Rows => "have database clients tell counts (aws.dynamodb.count, db.response.returned_rows)",
            Self::Logs => "send the function's logs to a logs pipeline, with faas.name and faas.invocation_id",
            Self::Reports => "forward the platform's log events (Lambda: JSON log format, system logs at INFO)",
            Self::Answers => "forward platform.runtimeDone events with their metrics (producedBytes)",
            Self::Records => "forward CloudTrail's data events to a logs pipeline",
            Self::Changes => "forward CloudTrail's management events to a logs pipeline",
            Self::Sums => "forward the platform's metric stream (CloudWatch, AWS/Lambda) to a metrics pipeline",
            Self::Environments => "have the resource name its environment (faas.instance)",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// A kind of attack, and what shows it.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// What it is called.
    pub name: &'static str,
    /// What the attacker does; a clause.
    pub behaviour: &'static str,
    /// Any of these sets of cues shows it. None: nothing that is read here does.
    shown_by: &'static [&'static [Cue]],
    /// Said where nothing that is read here shows it.
    needs: &'static str,
}

/// The classes, by what is at stake.
pub const CLASSES: [Class; 20] = {
    use Cue::{
        Answers, Bytes, Changes, Destinations, Environments, Logs, Operations, Records, Reports, Resources, Rows,
        Spans, Statements, Sums,
    };
    const fn class(name: &'static str, behaviour: &'static str, shown_by: &'static [&'static [Cue]]) -> Class {
        Class { name, behaviour, shown_by, needs: "" }
    }
    [
        class("exfiltration to a new place", "sends data to a host or account never used before", &[&[Destinations]]),
        class(
            "reading what it never reads",
            "uses a wide role on another table, bucket or secret",
            &[&[Operations, Resources], &[Records]],
        ),
        class(
            "bulk read",
            "scans or loops over all there is",
            &[&[Operations, Rows], &[Operations, Bytes], &[Records]],
        ),
        class("one call, more data", "widens a query so that the usual call returns everything", &[&[Rows], &[Bytes]]),
        class(
            "leak through answer or log",
            "hands stolen data to the caller or writes it into the log",
            &[&[Answers, Logs]],
        ),
        class("low and slow theft", "takes a little more each time, for weeks", &[&[Rows], &[Bytes]]),
        class("stolen credentials", "uses the function's role from elsewhere", &[&[Records]]),
        class(
            "secret harvesting",
            "reads secrets and parameters one after the other",
            &[&[Operations, Resources], &[Records]],
        ),
        class("discovery", "asks who it is and lists what there is", &[&[Operations], &[Records]]),
        class("change from outside", "changes code, configuration, role or trigger of the function", &[&[Changes]]),
        class("destruction and ransom", "deletes or re-encrypts data", &[&[Operations, Resources], &[Records]]),
        class(
            "tampering and skipped steps",
            "leaves out the payment, writes what it should not",
            &[&[Spans, Operations]],
        ),
        class("mining and burnt time", "computes for itself until the time is up", &[&[Spans], &[Reports]]),
        class("floods and loops", "invokes it, or has it invoke itself, far more often", &[&[Spans], &[Sums]]),
        class(
            "hiding in a warm environment",
            "stays in memory and acts in later invocations",
            &[&[Spans, Environments]],
        ),
        class(
            "abuse of paid services",
            "sends mail, messages or models' prompts for itself",
            &[&[Operations], &[Records]],
        ),
        class("traces of the injection", "fails in new ways, asks in new ways", &[&[Statements], &[Logs]]),
        class(
            "movement to other functions",
            "invokes or feeds functions it never invoked",
            &[&[Operations, Resources], &[Records]],
        ),
        class(
            "silenced or forged telemetry",
            "stops its spans, or writes harmless ones",
            &[&[Spans, Reports], &[Spans, Records]],
        ),
        Class {
            name: "tunnels and scans",
            behaviour: "hides data in DNS, probes the network",
            shown_by: &[],
            needs: "resolver and flow logs, which are not read yet",
        },
    ]
};

/// What one function's telemetry tells.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// When each cue was last given; zero: never.
    given: [Nanos; CUES],
    latest: Nanos,
}

impl Coverage {
    /// Takes note of what an observation tells.
    pub fn observe(&mut self, seen: &Observation<'_>) {
        self.latest = self.latest.max(seen.end);
        let told = cues(seen);
        for (given, cue) in self.given.iter_mut().zip(Cue::ALL) {
            if told & cue.bit() != 0 {
                *given = (*given).max(seen.end);
            }
        }
    }

    /// When each cue was last given; zero: never.
    pub fn given(&self) -> impl Iterator<Item = (Cue, Nanos)> {
        Cue::ALL.into_iter().zip(self.given)
    }

    /// Coverage as [`Self::given`] told it, by the cues' names; what has no name known here is left out.
    pub fn restore<'a>(told: impl Iterator<Item = (&'a str, Nanos)>) -> Self {
        let mut coverage = Self::default();
        for (name, at) in told {
            for (given, _) in coverage.given.iter_mut().zip(Cue::ALL).filter(|(_, cue)| cue.name() == name) {
                *given = at;
                coverage.latest = coverage.latest.max(at);
            }
        }
        coverage
    }

    /// Whether the cue is given.
    pub fn has(&self, cue: Cue) -> bool {
        let given = self.given.get(cue as usize).copied().unwrap_or_default();
        given > 0 && self.latest - given <= FORGOTTEN_AFTER
    }

    /// Whether the class would show.
    pub fn sees(&self, class: &Class) -> bool {
        class.shown_by.iter().any(|set| set.iter().all(|cue| self.has(*cue)))
    }

    /// The fewest cues whose being given would make the class show; empty if it does, or if nothing would.
    pub fn missing(&self, class: &Class) -> Vec<Cue> {
        let lacking = |set: &&[Cue]| set.iter().copied().filter(|cue| !self.has(*cue)).collect::<Vec<_>>();
        class.shown_by.iter().map(lacking).min_by_key(Vec::len).unwrap_or_default()
    }

    /// What is missing for the class to show, as a sentence's end; empty if it does.
    pub fn lack(&self, class: &Class) -> String {
        if class.shown_by.is_empty() {
            return class.needs.to_owned();
        }
        let missing: Vec<_> =
            self.missing(class).into_iter().map(|cue| format!("{}: {}", cue.name(), cue.advice())).collect();
        missing.join("; ")
    }

    /// Classes that would show.
    pub fn seen(&self) -> usize {
        CLASSES.iter().filter(|class| self.sees(class)).count()
    }
}

/// The cues that an observation gives, as bits.
fn cues(seen: &Observation<'_>) -> u16 {
    let mut told = match seen.channel {
        Channel::Spans if seen.complete => Cue::Spans.bit(),
        Channel::Spans => 0,
        Channel::Logs => Cue::Logs.bit(),
        Channel::Platform => Cue::Reports.bit(),
        Channel::Provider => Cue::Records.bit(),
        Channel::Metrics => Cue::Sums.bit(),
        Channel::Control => Cue::Changes.bit(),
    };
    if seen.instance != 0 {
        told |= Cue::Environments.bit();
    }
    for touch in seen.touches {
        told |= match touch.key.family {
            Family::Operation => Cue::Operations.bit(),
            Family::Resource => Cue::Resources.bit(),
            Family::Destination => Cue::Destinations.bit(),
            Family::Statement => Cue::Statements.bit(),
            _ => 0,
        };
    }
    for (quantity, _) in seen.quantities {
        told |= match quantity {
            Quantity::BytesIn | Quantity::BytesOut | Quantity::CallBytes => Cue::Bytes.bit(),
            Quantity::Rows => Cue::Rows.bit(),
            Quantity::AnswerBytes => Cue::Answers.bit(),
            _ => 0,
        };
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::observation::{Key, Risk, Source, Touch};

    const HOUR: Nanos = 3_600_000_000_000;

    fn observation<'a>(end: Nanos, touches: &'a [Touch<'a>], quantities: &'a [(Quantity, u64)]) -> Observation<'a> {
        Observation {
            function: 1,
            function_name: "f",
            peers: 0,
            version: "",
            invocation_id: "",
            channel: Channel::Spans,
            instance: 0,
            start: end,
            end,
            cold_start: false,
            failed: false,
            complete: true,
            touches,
            steps: &[],
            quantities,
            resources: &[],
        }
    }

    fn touch(family: Family) -> Touch<'static> {
        let key = Key { family, risk: Risk::Read, hash: 1, name: "k" };
        Touch { key, count: 1, source: Source::default() }
    }

    fn class(name: &str) -> &'static Class {
        CLASSES.iter().find(|class| class.name == name).unwrap()
    }

    #[test]
    fn cues_have_the_numbers_of_their_places() {
        assert!(Cue::ALL.iter().enumerate().all(|(at, cue)| *cue as usize == at));
    }

    type Row<'a> = (&'a str, Channel, &'a [Touch<'a>], &'a [(Quantity, u64)], &'a str, bool);

    #[test]
    fn what_telemetry_tells_decides_what_would_show() {
        use Channel::{Control, Platform, Provider, Spans};
        use Family::{Destination, Operation, Resource};
        let (operation, rows) = (touch(Operation), (Quantity::Rows, 1));
        #[rustfmt::skip]
        let table: [Row<'_>; 10] = [
            ("spans alone tell of burnt time",         Spans,    &[],                           &[],     "mining and burnt time",       true),
            ("but not of destinations",                Spans,    &[operation],                  &[],     "exfiltration to a new place", false),
            ("which a client may tell",                Spans,    &[touch(Destination)],         &[],     "exfiltration to a new place", true),
            ("an operation without its resource",      Spans,    &[operation],                  &[],     "destruction and ransom",      false),
            ("and with it",                            Spans,    &[operation, touch(Resource)], &[],     "destruction and ransom",      true),
            ("what the service recorded is enough",    Provider, &[operation],                  &[],     "destruction and ransom",      true),
            ("but says nothing of changes",            Provider, &[operation],                  &[],     "change from outside",         false),
            ("which come with records of their own",   Control,  &[],                           &[],     "change from outside",         true),
            ("counts show a widened query",            Spans,    &[operation],                  &[rows], "one call, more data",         true),
            ("nothing shows a tunnel yet",             Platform, &[touch(Destination)],         &[rows], "tunnels and scans",           false),
        ];
        for (row, channel, touches, quantities, name, expected) in table {
            let mut coverage = Coverage::default();
            coverage.observe(&Observation { channel, ..observation(HOUR, touches, quantities) });
            assert_eq!(coverage.sees(class(name)), expected, "{row}");
            assert_eq!(coverage.lack(class(name)).is_empty(), expected, "{row}");
        }
    }

    #[test]
    fn the_shortest_way_to_see_a_class_is_named() {
        let mut coverage = Coverage::default();
        coverage.observe(&observation(HOUR, &[touch(Family::Operation)], &[]));
        assert_eq!(coverage.missing(class("destruction and ransom")), [Cue::Resources]);
        assert!(coverage.lack(class("destruction and ransom")).contains("aws.s3.bucket"));
        assert!(coverage.lack(class("tunnels and scans")).contains("not read yet"));
    }

    #[test]
    fn what_is_no_longer_told_is_forgotten_after_a_week() {
        let mut coverage = Coverage::default();
        coverage.observe(&observation(HOUR, &[touch(Family::Destination)], &[]));
        coverage.observe(&observation(HOUR + FORGOTTEN_AFTER, &[], &[]));
        assert!(coverage.has(Cue::Destinations));
        coverage.observe(&observation(2 * HOUR + FORGOTTEN_AFTER, &[], &[]));
        assert!(!coverage.has(Cue::Destinations) && coverage.has(Cue::Spans));
    }
}
