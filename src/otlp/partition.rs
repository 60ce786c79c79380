//! One request into several by where each resource or record belongs, without decoding any.

use super::{
    Batch, Signal,
    split::{RECORDS, RESOURCES, SCOPES, apart, items_in},
    view::{ResourceGroup, messages},
    wire::{Fields, Value, put_bytes, put_field},
};

/// Where a resource's telemetry belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All of it to the part with this number.
    Whole(usize),
    /// Its records are to be asked.
    ByRecord,
}

/// `batch` as at most `parts` requests, each with the number of its part. Records keep their order and the resource and
/// scope they are under; one whose part does not exist goes to the last.
pub fn partition<'a>(
    batch: &'a Batch,
    parts: usize,
    mut resource: impl FnMut(ResourceGroup<'a>) -> Place,
    mut record: impl FnMut(&'a [u8]) -> usize,
) -> Vec<(usize, Batch)> {
    let last = parts.saturating_sub(1);
    let mut out: Vec<(Vec<u8>, usize)> = vec![(Vec::new(), 0); parts.max(1)];
    let mut rest = Vec::new();
    for (number, value) in Fields::new(&batch.body) {
        let Value::Bytes(group) = value else {
            put_field(&mut rest, number, value);
            continue;
        };
        if number != RESOURCES {
            put_field(&mut rest, number, value);
            continue;
        }
        match resource(ResourceGroup::new(group)) {
            Place::Whole(part) => {
                if let Some((body, items)) = out.get_mut(part.min(last)) {
                    put_bytes(body, RESOURCES, group);
                    *items += items_of(batch.signal, group);
                }
            }
            Place::ByRecord => {
                for (part, (group, items)) in by_record(batch.signal, group, &mut record, last) {
                    if let Some((body, sum)) = out.get_mut(part) {
                        put_bytes(body, RESOURCES, &group);
                        *sum += items;
                    }
                }
            }
        }
    }
    let numbered = out.into_iter().enumerate().filter(|(_, (_, items))| *items > 0);
    numbered
        .map(|(part, (mut body, items))| {
            body.extend_from_slice(&rest);
            (part, Batch { signal: batch.signal, body: body.into(), items })
        })
        .collect()
}

fn items_of(signal: Signal, group: &[u8]) -> usize {
    messages(group, SCOPES).flat_map(|scope| messages(scope, RECORDS)).map(|record| items_in(signal, record)).sum()
}

type Parts = std::collections::BTreeMap<usize, (Vec<u8>, usize)>;

/// A resource's telemetry, by part.
fn by_record<'a>(signal: Signal, group: &'a [u8], record: &mut impl FnMut(&'a [u8]) -> usize, last: usize) -> Parts {
    let (head, scopes) = apart(group, SCOPES);
    let mut groups = Parts::new();
    for scope in scopes {
        let (scope_head, records) = apart(scope, RECORDS);
        let mut bodies = Parts::new();
        for bytes in records {
            let (body, items) = bodies.entry(record(bytes).min(last)).or_insert_with(|| (scope_head.clone(), 0));
            put_bytes(body, RECORDS, bytes);
            *items += items_in(signal, bytes);
        }
        for (part, (body, items)) in bodies {
            let (group, sum) = groups.entry(part).or_insert_with(|| (head.clone(), 0));
            put_bytes(group, SCOPES, &body);
            *sum += items;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;

    use super::*;
    use crate::otlp::{check::check, sample, view::Span};

    fn batch(signal: Signal, body: Vec<u8>) -> Batch {
        let items = check(signal, &body).unwrap();
        Batch { signal, body: body.into(), items }
    }

    #[test]
    fn every_record_is_in_its_part_in_order_under_its_resource_and_scope() {
        let whole = batch(Signal::Traces, sample::traces(10).encode_to_vec());
        let by_name = |record: &[u8]| usize::from(Span::scan(record, |_, _| {}).name.last().unwrap() % 3);
        let parts = partition(&whole, 3, |_| Place::ByRecord, by_name);
        assert_eq!(parts.iter().map(|(part, _)| *part).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(parts.iter().map(|(_, batch)| batch.items).sum::<usize>(), 10);
        for (part, batch) in parts {
            assert_eq!(check(Signal::Traces, &batch.body).unwrap(), batch.items);
            let request = ExportTraceServiceRequest::decode(batch.body).unwrap();
            let [group] = request.resource_spans.as_slice() else { panic!("one resource") };
            let [scope] = group.scope_spans.as_slice() else { panic!("one scope") };
            let original = &sample::traces(10).resource_spans[0];
            assert_eq!((&group.resource, &group.schema_url), (&original.resource, &original.schema_url));
            assert_eq!(scope.scope, original.scope_spans[0].scope);
            let expected = original.scope_spans[0].spans.iter();
            let expected = expected.filter(|span| usize::from(span.name.as_bytes().last().unwrap() % 3) == part);
            assert!(scope.spans.iter().eq(expected), "part {part}");
        }
    }

    #[test]
    fn resources_go_whole_and_what_belongs_nowhere_to_the_last_part() {
        let two = [sample::metrics(1).encode_to_vec(), sample::metrics(2).encode_to_vec()].concat();
        let whole = batch(Signal::Metrics, two);
        let mut number = 0;
        let next = |_: ResourceGroup<'_>| {
            number += 1;
            Place::Whole(if number == 1 { 0 } else { 99 })
        };
        let parts = partition(&whole, 4, next, |_| 0);
        let round = sample::POINTS_A_ROUND;
        assert_eq!(
            parts.iter().map(|(part, batch)| (*part, batch.items)).collect::<Vec<_>>(),
            [(0, round), (3, 2 * round)]
        );
        assert_eq!(parts[0].1.body, sample::metrics(1).encode_to_vec());
    }
}
