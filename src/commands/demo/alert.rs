//! Alerts as they come out of the gateway: OTLP log records, read back as any receiver of them would.

use crate::{
    detect::{observation::Nanos, verdict::Tier},
    incidents::record::EVENT_NAME,
    otlp::{
        Batch,
        view::{AnyValue, LogRecord, resources},
    },
};

/// Invocations an alert names at most: beyond that, its list says nothing about those it leaves out.
pub const LISTED_AT_MOST: usize = 16;

/// What happened to the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is new.
    Opened,
    /// There is more to it.
    Updated,
    /// It is over.
    Resolved,
}

/// One alert record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Of the incident; stable over its records.
    pub incident: String,
    /// What happened to it.
    pub state: State,
    /// The highest so far.
    pub tier: Tier,
    /// `faas.name` of the function the headline is about.
    pub function: String,
    /// Event time of the strongest evidence.
    pub at: Nanos,
    /// Event time of the latest invocation that counted.
    pub last_seen: Nanos,
    /// The first of its invocations.
    pub invocations: Vec<String>,
    /// What happened, in a sentence.
    pub headline: String,
}

impl Alert {
    /// Whether somebody was told to look: a page or an entry in the queue, not the notice that it is over.
    pub fn calls_for_attention(&self) -> bool {
        self.tier >= Tier::Queue && self.state != State::Resolved
    }

    /// The moment, in event time, up to which telemetry had to come in for this record to be written.
    pub fn raised(&self) -> Nanos {
        self.at.max(self.last_seen)
    }
}

/// The alerts of a request; records that are none are passed over.
pub fn read(batch: &Batch) -> Vec<Alert> {
    resources(&batch.body)
        .flat_map(|group| group.scopes())
        .flat_map(|scope| scope.records())
        .filter_map(read_record)
        .collect()
}

fn read_record(record: &[u8]) -> Option<Alert> {
    let (mut incident, mut state, mut tier, mut function) = (None, None, None, None);
    let (mut last_seen, mut invocations) = (0, Vec::new());
    let log = LogRecord::scan(record, |key, value| match key {
        b"sekisho.incident.id" => incident = value.text(),
        b"sekisho.incident.state" => state = value.text().and_then(state_named),
        b"sekisho.incident.tier" => tier = value.text().and_then(tier_named),
        b"sekisho.incident.last_seen" => last_seen = nanos(value),
        b"sekisho.incident.invocations" => invocations = texts(value),
        b"faas.name" => function = value.text(),
        _ => {}
    });
    if log.event_name != EVENT_NAME.as_bytes() {
        return None;
    }
    Some(Alert {
        incident: incident?.to_owned(),
        state: state?,
        tier: tier?,
        function: function.unwrap_or_default().to_owned(),
        at: log.time,
        last_seen,
        invocations,
        headline: log.body.text().unwrap_or_default().to_owned(),
    })
}

fn state_named(name: &str) -> Option<State> {
    match name {
        "opened" => Some(State::Opened),
        "updated" => Some(State::Updated),
        "resolved" => Some(State::Resolved),
        _ => None,
    }
}

fn tier_named(name: &str) -> Option<Tier> {
    [Tier::Evidence, Tier::Queue, Tier::Page].into_iter().find(|tier| tier.name() == name)
}

fn nanos(value: AnyValue<'_>) -> Nanos {
    if let AnyValue::Int(value) = value { value.max(0).unsigned_abs() } else { 0 }
}

fn texts(value: AnyValue<'_>) -> Vec<String> {
    value.elements().take(LISTED_AT_MOST).filter_map(AnyValue::text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::verdict::{Promise, PromiseState},
        incidents::{Change, ChangeKind, Function, Incident, record::alerts_request},
        otlp::Signal,
    };

    fn incident() -> Incident {
        Incident {
            id: "inc-0123456789".into(),
            tier: Tier::Page,
            priority: 80,
            score: 30.0,
            line: 20.0,
            first_seen: 5,
            last_seen: 9,
            at: 7,
            trace_id: [1; 16],
            span_id: [2; 8],
            functions: vec![Function { hash: 1, name: "get-loyalty".into(), version: "11".into() }],
            lead: 1,
            resource: bytes::Bytes::new(),
            invocations: vec!["one".into(), "two".into()],
            invocation_count: 2,
            evidence: Vec::new(),
            headline: "get-loyalty did what it never did".into(),
            counterfactual: String::new(),
            techniques: Vec::new(),
            merged_into: None,
        }
    }

    #[test]
    fn what_the_gateway_writes_is_read() {
        let promise = Promise {
            budget_per_day: 1.0,
            days: 3,
            state: PromiseState::Learning { bound_per_day: 2.0 },
            realised: (0, 3),
        };
        let changes: Vec<Change> = [ChangeKind::Opened, ChangeKind::Updated, ChangeKind::Resolved]
            .map(|kind| Change { kind, incident: incident() })
            .into();
        let alerts = read(&alerts_request(&changes, &promise, 99));
        let expected = |state| Alert {
            incident: "inc-0123456789".into(),
            state,
            tier: Tier::Page,
            function: "get-loyalty".into(),
            at: 7,
            last_seen: 9,
            invocations: vec!["one".into(), "two".into()],
            headline: "get-loyalty did what it never did".into(),
        };
        assert_eq!(alerts, [State::Opened, State::Updated, State::Resolved].map(expected));
        assert_eq!(alerts.iter().map(Alert::calls_for_attention).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(alerts[0].raised(), 9);
    }

    #[test]
    fn other_log_records_are_not_alerts() {
        let body = bytes::Bytes::from_static(&[10, 6, 18, 4, 18, 2, 16, 9]);
        assert_eq!(read(&Batch { signal: Signal::Logs, body, items: 1 }), []);
    }
}
