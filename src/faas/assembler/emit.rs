//! Second half of a request: members become an observation.

use super::{
    Invocation,
    clock::DAY,
    function::Function,
    groups::{Amounts, Member, NONE},
    read::Handler,
};
use crate::detect::observation::{Channel, Nanos, Observation, Quantity, Source, Step, Touch};

/// Most distinct keys of one observation.
const MOST_KEYS: usize = 1024;
/// Most distinct resources that are counted, and most that are told.
const MOST_RESOURCES: usize = 4096;
const MOST_TOLD: usize = 64;

/// Whose observation it is.
pub(super) struct Subject<'s> {
    pub(super) function: &'s Function,
    pub(super) trace: [u8; 16],
    /// The handler's span, zero if unknown.
    pub(super) span: u64,
    /// Empty if the platform's id is unknown.
    pub(super) invocation: &'s str,
    pub(super) resource: &'s [u8],
    pub(super) now: Nanos,
    pub(super) channel: Channel,
    /// The environment; zero if unknown.
    pub(super) instance: u64,
    /// When its handler answered, of what came after; zero if unknown.
    pub(super) answered: Nanos,
}

/// What is told of an observation that is not of spans.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flat<'f> {
    pub(super) touches: &'f [Touch<'f>],
    pub(super) quantities: &'f [(Quantity, u64)],
    pub(super) records: &'f [u32],
    pub(super) times: (Nanos, Nanos),
    pub(super) cold: bool,
    pub(super) failed: bool,
}

/// Room for an observation, used again for the next.
#[derive(Clone, Debug)]
pub(super) struct Press {
    touches: Vec<Touch<'static>>,
    steps: Vec<Step>,
    records: Vec<u32>,
    quantities: Vec<(Quantity, u64)>,
    keys: Distinct,
    resources: Distinct,
    /// The first of `resources`.
    told: Vec<u64>,
    trace: String,
}

impl Default for Press {
    fn default() -> Self {
        Self {
            touches: Vec::new(),
            steps: Vec::new(),
            records: Vec::new(),
            quantities: Vec::new(),
            keys: Distinct::new(MOST_KEYS),
            resources: Distinct::new(MOST_RESOURCES),
            told: Vec::new(),
            trace: String::new(),
        }
    }
}

impl Press {
    /// Emits the observation of `members`, which are in start order; complete if one of them is the `handler`.
    pub(super) fn emit<'m>(
        &mut self,
        subject: &Subject<'_>,
        members: impl Iterator<Item = &'m Member> + Clone,
        handler: Option<(&Member, &Handler<'_>)>,
        out: &mut impl FnMut(Invocation<'_>),
    ) {
        self.clear();
        let mut touches = recycled(std::mem::take(&mut self.touches));
        let handler_span = handler.map_or(0, |(member, _)| member.span);
        let (mut start, mut end) = (Nanos::MAX, 0);
        for member in members.clone() {
            let recipe = match handler {
                Some((_, handler)) if member.span == handler_span => &handler.recipe,
                _ => {
                    self.step(member.recipe.step);
                    &member.recipe
                }
            };
            start = start.min(member.start);
            end = end.max(member.end);
            let source =
                Source { trace_id: subject.trace, span_id: member.span.to_be_bytes(), trust: subject.channel.trust() };
            for key in recipe.keys() {
                match self.keys.insert(key.hash) {
                    Some(Place::New) => touches.push(Touch { key, count: 1, source }),
                    Some(Place::Old(at)) => {
                        if let Some(touch) = touches.get_mut(at) {
                            touch.count = touch.count.saturating_add(1);
                        }
                    }
                    None => {}
                }
            }
            if member.record != NONE {
                self.records.push(member.record);
            }
        }
        self.records.sort_unstable();
        match handler {
            Some((member, _)) => self.measure(members, member),
            None if subject.answered > 0 && end > subject.answered && end != Nanos::MAX => {
                self.quantities.push((Quantity::AfterUs, (end - subject.answered) / 1000));
            }
            None => {}
        }
        let handler_facts = handler.map(|(_, handler)| handler);
        self.say(
            subject,
            &touches,
            (start, end),
            handler.map(|(member, _)| member.record),
            handler_facts.is_some_and(|handler| handler.cold),
            handler_facts.is_some_and(|handler| handler.failed),
            out,
        );
        self.touches = recycled(touches);
    }

    /// Emits an observation that is not of spans: touches, amounts and records only.
    pub(super) fn emit_flat(&mut self, subject: &Subject<'_>, flat: &Flat<'_>, out: &mut impl FnMut(Invocation<'_>)) {
        self.clear();
        self.records.extend_from_slice(flat.records);
        self.quantities.extend_from_slice(flat.quantities);
        self.say(subject, flat.touches, flat.times, None, flat.cold, flat.failed, out);
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.records.clear();
        self.quantities.clear();
        self.told.clear();
        self.keys.clear();
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one observation")]
    fn say(
        &mut self,
        subject: &Subject<'_>,
        touches: &[Touch<'_>],
        (start, end): (Nanos, Nanos),
        handler: Option<u32>,
        cold_start: bool,
        failed: bool,
        out: &mut impl FnMut(Invocation<'_>),
    ) {
        let invocation_id = if subject.invocation.is_empty() {
            hex(&mut self.trace, subject.trace);
            &self.trace
        } else {
            subject.invocation
        };
        // A time that cannot be is the time by all the others.
        let end = if end == 0 || end == Nanos::MAX { subject.now } else { end.min(subject.now.saturating_add(DAY)) };
        out(Invocation {
            observation: Observation {
                function: subject.function.hash,
                function_name: &subject.function.name,
                peers: subject.function.peers,
                version: &subject.function.version,
                invocation_id,
                channel: subject.channel,
                instance: subject.instance,
                start: if start == 0 { end } else { start.min(end) },
                end,
                cold_start,
                failed,
                complete: handler.is_some(),
                touches,
                steps: &self.steps,
                quantities: &self.quantities,
                resources: &self.told,
            },
            records: &self.records,
            handler: handler.filter(|record| *record != NONE),
            resource: subject.resource,
            trace_id: subject.trace,
            span_id: subject.span.to_be_bytes(),
        });
    }

    /// Appends a step, or counts the last one once more.
    fn step(&mut self, hash: Option<u64>) {
        let Some(hash) = hash else { return };
        match self.steps.last_mut() {
            Some(last) if last.hash == hash => last.repeat = last.repeat.saturating_add(1),
            _ => self.steps.push(Step { hash, repeat: 1 }),
        }
    }

    fn measure<'m>(&mut self, members: impl Iterator<Item = &'m Member>, handler: &Member) {
        self.resources.clear();
        let (mut calls, mut busy, mut busy_until) = (0, 0, handler.start);
        let mut last = handler.end;
        let (mut amounts, mut init) = (Amounts::default(), None::<Nanos>);
        for member in members.filter(|member| member.span != handler.span) {
            calls += u64::from(member.recipe.call);
            amounts.add(&member.amounts);
            if member.touched != 0
                && self.resources.insert(member.touched) == Some(Place::New)
                && self.told.len() < MOST_TOLD
            {
                self.told.push(member.touched);
            }
            last = last.max(member.end);
            if member.init {
                init = Some(init.unwrap_or(0).saturating_add(member.end - member.start.min(member.end)));
            }
            // In start order, time already covered is never covered again.
            let end = member.end.min(handler.end);
            busy += end.saturating_sub(member.start.max(busy_until));
            busy_until = busy_until.max(end);
        }
        let wall = handler.end.saturating_sub(handler.start);
        let micros = |nanos: Nanos| nanos / 1000;
        self.quantities.extend([
            (Quantity::DurationUs, micros(wall)),
            (Quantity::SelfTimeUs, micros(wall.saturating_sub(busy))),
            (Quantity::Calls, calls),
            (Quantity::AfterUs, micros(last - handler.end)),
        ]);
        let optional = [
            (Quantity::BytesOut, amounts.out),
            (Quantity::BytesIn, amounts.received),
            (Quantity::Rows, amounts.rows),
            (Quantity::DistinctResources, Some(self.resources.len() as u64)),
            (Quantity::InitUs, init.map(micros)),
        ];
        self.quantities.extend(optional.into_iter().filter_map(|(quantity, value)| Some((quantity, value?))));
    }
}

/// The same allocation, empty, for borrows of another lifetime.
#[expect(clippy::unnecessary_filter_map, reason = "`filter` would keep the first lifetime")]
fn recycled<'b>(mut touches: Vec<Touch<'_>>) -> Vec<Touch<'b>> {
    touches.clear();
    // Collecting in place keeps the allocation; the element that would be made up never exists.
    touches.into_iter().filter_map(|_| None).collect()
}

fn hex(out: &mut String, trace: [u8; 16]) {
    out.clear();
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    out.extend(trace.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

/// Where a hash was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    New,
    Old(usize),
}

/// A small set of hashes that is emptied in no time.
#[derive(Clone, Debug)]
struct Distinct {
    /// Hash, round in which it was put, position.
    slots: Vec<(u64, u32, u32)>,
    round: u32,
    len: usize,
    most: usize,
}

impl Distinct {
    fn new(most: usize) -> Self {
        Self { slots: vec![(0, 0, 0); 2 * most.next_power_of_two()], round: 1, len: 0, most }
    }

    const fn len(&self) -> usize {
        self.len
    }

    fn clear(&mut self) {
        self.len = 0;
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.slots.fill((0, 0, 0));
            self.round = 1;
        }
    }

    /// `None` if it is full.
    #[inline]
    fn insert(&mut self, hash: u64) -> Option<Place> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots.get_mut(at)?;
            if slot.1 != self.round {
                if self.len >= self.most {
                    return None;
                }
                *slot = (hash, self.round, self.len as u32);
                self.len += 1;
                return Some(Place::New);
            }
            if slot.0 == hash {
                return Some(Place::Old(slot.2 as usize));
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_hashes_are_counted_up_to_the_most() {
        let mut set = Distinct::new(4);
        for (hash, place) in [
            (7, Some(Place::New)),
            (15, Some(Place::New)),
            (7, Some(Place::Old(0))),
            (23, Some(Place::New)),
            (15, Some(Place::Old(1))),
            (1, Some(Place::New)),
            (2, None),
            (23, Some(Place::Old(2))),
        ] {
            assert_eq!(set.insert(hash), place, "{hash}");
        }
        set.clear();
        assert_eq!((set.len(), set.insert(15)), (0, Some(Place::New)));
        set.round = u32::MAX;
        set.clear();
        assert_eq!(set.insert(15), Some(Place::New));
    }
}
