//! One batch sorted into groups.

use std::{collections::HashMap, hash::Hash};

use crate::otlp::{
    Batch, Signal,
    edit::{Patch, PatchValue},
    view::{self, ResourceGroup, ScopeGroup},
    wire::{self, Fields, Value},
};

/// Things in the order found, and by what makes them the same.
struct Index<K, T> {
    places: HashMap<K, usize>,
    list: Vec<T>,
}

impl<K: Hash + Eq, T> Index<K, T> {
    fn new() -> Self {
        Self { places: HashMap::new(), list: Vec::new() }
    }

    fn find(&mut self, key: K, new: impl FnOnce() -> T) -> Option<&mut T> {
        let place = *self.places.entry(key).or_insert_with(|| {
            self.list.push(new());
            self.list.len() - 1
        });
        self.list.get_mut(place)
    }
}

/// A resource group being filled: all its fields but the scope groups, and those.
struct Resource {
    head: Vec<u8>,
    scopes: Index<(Vec<u8>, Vec<u8>), Scope>,
}

/// A scope group being filled: all its fields but the records, and those.
struct Scope {
    head: Vec<u8>,
    records: Vec<u8>,
    metrics: Index<(Vec<u8>, u32), Metric>,
}

/// A metric being filled: all its fields but the data, that without its points, and those.
struct Metric {
    head: Vec<u8>,
    kind: u32,
    data_head: Vec<u8>,
    points: Vec<u8>,
}

/// Sorts records by resource.
pub struct Regroup<'a> {
    signal: Signal,
    keys: &'a [String],
    resources: Index<Vec<Vec<u8>>, Resource>,
    patch: Patch,
}

impl<'a> Regroup<'a> {
    pub fn new(signal: Signal, keys: &'a [String]) -> Self {
        Self { signal, keys, resources: Index::new(), patch: Patch::default() }
    }

    /// The batch with its records sorted.
    pub fn batch(mut self, batch: &Batch) -> Batch {
        let mut rest = Vec::new();
        for (number, value) in Fields::new(&batch.body) {
            match value {
                Value::Bytes(group) if number == 1 => self.resource_group(group),
                other => wire::put_field(&mut rest, number, other),
            }
        }
        let mut body = Vec::with_capacity(batch.body.len() + 64);
        for resource in self.resources.list {
            wire::put_bytes(&mut body, 1, &resource.into_bytes());
        }
        body.extend_from_slice(&rest);
        Batch { signal: self.signal, body: body.into(), items: batch.items }
    }

    fn resource_group(&mut self, bytes: &[u8]) {
        let group = ResourceGroup::new(bytes);
        let attributes = pairs(group.resource(), 1);
        for scope in view::messages(bytes, 2) {
            let named = ScopeGroup::new(scope);
            for record in named.records() {
                match self.signal {
                    Signal::Traces => self.put(bytes, &attributes, scope, &Record::Whole(record), 9),
                    Signal::Logs => self.put(bytes, &attributes, scope, &Record::Whole(record), 6),
                    Signal::Metrics => {
                        for (kind, point) in view::points(record) {
                            let attribute = view::point_attributes(kind);
                            self.put(
                                bytes,
                                &attributes,
                                scope,
                                &Record::Point { metric: record, kind, point },
                                attribute,
                            );
                        }
                    }
                }
            }
        }
    }

    /// Puts a record, with its attributes in `field`, where it belongs.
    fn put(&mut self, group: &[u8], attributes: &[(&[u8], &[u8])], scope: &[u8], record: &Record<'_>, field: u32) {
        let message = record.message();
        let wanted = |key: &[u8]| self.keys.iter().any(|wanted| wanted.as_bytes() == key);
        let moved: Vec<(&[u8], &[u8])> = pairs(message, field).into_iter().filter(|(key, _)| wanted(key)).collect();
        let mut all: Vec<(&[u8], &[u8])> =
            attributes.iter().filter(|(key, _)| moved.iter().all(|(other, _)| other != key)).copied().collect();
        all.extend(&moved);
        all.sort_unstable();
        let same = all.iter().map(|(key, value)| [key.len().to_le_bytes().as_slice(), key, value].concat()).collect();
        let mut stripped = Vec::new();
        let record_bytes = if moved.is_empty() {
            message
        } else {
            self.patch.begin(field);
            for (key, _) in &moved {
                self.patch.remove(&String::from_utf8_lossy(key));
            }
            self.patch.apply(message, &mut stripped);
            &stripped
        };
        let named = ScopeGroup::new(scope);
        let scope_of = |resource: &'_ mut Resource| -> Option<()> {
            let key = (named.name().to_vec(), named.version().to_vec());
            let into = resource.scopes.find(key, || Scope::new(scope))?;
            into.put(record, record_bytes)
        };
        self.resources.find(same, || Resource::new(group, &moved)).and_then(scope_of);
    }
}

/// Something that is sorted.
enum Record<'a> {
    Whole(&'a [u8]),
    Point { metric: &'a [u8], kind: u32, point: &'a [u8] },
}

impl<'a> Record<'a> {
    const fn message(&self) -> &'a [u8] {
        match self {
            Self::Whole(message) | Self::Point { point: message, .. } => message,
        }
    }
}

/// Keys and serialised values of the attributes in a field; of a key that is set twice, the first.
fn pairs(message: &[u8], field: u32) -> Vec<(&[u8], &[u8])> {
    let mut all: Vec<_> = view::messages(message, field).map(view::raw_key_value).collect();
    all.sort_by_key(|(key, _)| *key);
    all.dedup_by_key(|(key, _)| *key);
    all
}

/// All fields of a message but one.
fn without(message: &[u8], dropped: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    Fields::new(message)
        .filter(|(number, _)| !dropped.contains(number))
        .for_each(|(number, value)| wire::put_field(&mut out, number, value));
    out
}

impl Resource {
    /// Like the resource of `group`, with these attributes.
    fn new(group: &[u8], moved: &[(&[u8], &[u8])]) -> Self {
        let mut head = without(group, &[1, 2]);
        let mut patch = Patch::new(1);
        for (key, value) in moved {
            patch.set(&String::from_utf8_lossy(key), PatchValue::Raw(value));
        }
        let mut resource = Vec::new();
        patch.apply(ResourceGroup::new(group).resource(), &mut resource);
        wire::put_bytes(&mut head, 1, &resource);
        Self { head, scopes: Index::new() }
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut out = self.head;
        for scope in self.scopes.list {
            wire::put_bytes(&mut out, 2, &scope.into_bytes());
        }
        out
    }
}

impl Scope {
    fn new(group: &[u8]) -> Self {
        Self { head: without(group, &[2]), records: Vec::new(), metrics: Index::new() }
    }

    fn put(&mut self, record: &Record<'_>, bytes: &[u8]) -> Option<()> {
        match record {
            Record::Whole(_) => wire::put_bytes(&mut self.records, 2, bytes),
            Record::Point { metric, kind, .. } => {
                let name = view::messages(metric, 1).last().unwrap_or_default().to_vec();
                let into = self.metrics.find((name, *kind), || Metric::new(metric, *kind))?;
                wire::put_bytes(&mut into.points, 1, bytes);
            }
        }
        Some(())
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut out = self.head;
        out.extend_from_slice(&self.records);
        for metric in self.metrics.list {
            let (mut data, mut whole) = (metric.data_head, metric.head);
            data.extend_from_slice(&metric.points);
            wire::put_bytes(&mut whole, metric.kind, &data);
            wire::put_bytes(&mut out, 2, &whole);
        }
        out
    }
}

impl Metric {
    fn new(metric: &[u8], kind: u32) -> Self {
        let data = view::messages(metric, kind).last().unwrap_or_default();
        Self { head: without(metric, &view::POINTS), kind, data_head: without(data, &[1]), points: Vec::new() }
    }
}
