//! What was learned, in the store: one record a function, one for the fleet, one for open incidents.

use std::{collections::BTreeMap, sync::Arc};

use super::{Config, Model};
use crate::{
    incidents::{
        Incidents,
        desk::{self, Desk},
    },
    otlp::hex,
    pipeline::component::{Context, StartError},
    store::{Store, StoreError},
};

/// Key of the record of open incidents; the detector's keys are hexadecimal.
pub(super) const INCIDENTS: &str = "incidents";

/// One component's place in the store.
pub struct State {
    store: Arc<Store>,
    namespace: String,
    component: String,
    /// Records that are not on disk yet, kept until a save succeeds.
    unsaved: tokio::sync::Mutex<BTreeMap<String, Vec<u8>>>,
    unsaved_for_people: tokio::sync::Mutex<Unsaved>,
}

/// By namespace and key; nothing for what is to be forgotten.
type Unsaved = BTreeMap<String, BTreeMap<String, Option<Vec<u8>>>>;

/// What is kept for people stands beside the model, each kind in a namespace of its own: messages of the control API.
const INCIDENTS_KEPT: &str = "incidents";
const VERDICTS_KEPT: &str = "verdicts";
pub(super) const FUNCTIONS_KEPT: &str = "functions";

impl State {
    /// The place `config` asks for, if it asks for one.
    pub fn of(config: &Config, context: &Context) -> Result<Option<Self>, StartError> {
        let Some(id) = &config.state else { return Ok(None) };
        let store = context
            .shared
            .get::<Store>(id)
            .ok_or_else(|| context.error(format!("state: `{id}` is not a running store; add a `file_storage`")))?;
        Ok(Some(Self {
            store,
            namespace: context.id.clone(),
            component: context.component.clone(),
            unsaved: tokio::sync::Mutex::default(),
            unsaved_for_people: tokio::sync::Mutex::default(),
        }))
    }

    /// Teaches `model` what is stored. A damaged record is left out and said: that function is
    /// learned anew.
    pub fn load(&self, model: &mut Model) -> Result<(), StoreError> {
        let Model { detector, incidents, .. } = model;
        let (mut records, mut damaged) = (0_u64, 0_u64);
        self.store.iterate(&self.namespace, |key, value| {
            records += 1;
            let restored = if key == INCIDENTS {
                Incidents::restore(value, crate::incidents::Settings::default())
                    .map(|restored| *incidents = restored)
                    .is_ok()
            } else {
                bytes(key).is_some_and(|key| detector.restore(&key, value).is_ok())
            };
            damaged += u64::from(!restored);
        })?;
        let component = &self.component;
        if damaged > 0 {
            tracing::warn!(component, damaged, "saved records are damaged; what they held is learned anew");
        }
        if records > 0 {
            tracing::info!(component, functions = detector.functions(), "goes on with what was learned before");
        }
        Ok(())
    }

    /// Gives back what is kept for people. A damaged record is left out and said.
    pub fn load_for_people(&self, model: &mut Model, desk: &mut Desk) -> Result<(), StoreError> {
        let mut damaged = 0_u64;
        for (kind, kept) in [(desk::Kind::Incident, INCIDENTS_KEPT), (desk::Kind::Verdict, VERDICTS_KEPT)] {
            self.store.iterate(&self.beside(kept), |_, value| damaged += u64::from(!desk.restore(kind, value)))?;
        }
        self.store.iterate(&self.beside(FUNCTIONS_KEPT), |key, value| {
            damaged += u64::from(!model.roster.restore(key, value));
        })?;
        if damaged > 0 {
            tracing::warn!(component = self.component, damaged, "saved incidents, verdicts or names are damaged");
        }
        Ok(())
    }

    /// Writes what has changed for people, and whatever an earlier call could not.
    pub async fn save_for_people(
        &self,
        records: Vec<desk::Record>,
        functions: Vec<(String, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let mut unsaved = self.unsaved_for_people.lock().await;
        for desk::Record { kind, key, value } in records {
            let kept = if kind == desk::Kind::Incident { INCIDENTS_KEPT } else { VERDICTS_KEPT };
            unsaved.entry(self.beside(kept)).or_default().insert(key, value);
        }
        for (key, value) in functions {
            unsaved.entry(self.beside(FUNCTIONS_KEPT)).or_default().insert(key, Some(value));
        }
        for (namespace, records) in unsaved.iter_mut() {
            let (at, all) = (namespace.clone(), records.clone().into_iter().collect::<Vec<_>>());
            self.store.run(move |store| store.apply(&at, &all)).await?;
            records.clear();
        }
        Ok(())
    }

    fn beside(&self, kept: &str) -> String {
        beside(&self.namespace, kept)
    }

    /// What has changed since the last call.
    pub fn changed(model: &mut Model) -> Vec<(String, Vec<u8>)> {
        let mut records = vec![(INCIDENTS.to_owned(), model.incidents.snapshot())];
        model.detector.snapshot_dirty(&mut |key, value| records.push((hex(key), value.to_vec())));
        records
    }

    /// Writes `changed` and whatever an earlier save could not, all or none.
    pub async fn save(&self, changed: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        let mut unsaved = self.unsaved.lock().await;
        unsaved.extend(changed);
        let (namespace, records) = (self.namespace.clone(), unsaved.clone().into_iter().collect::<Vec<_>>());
        self.store.run(move |store| store.put_all(&namespace, &records)).await?;
        unsaved.clear();
        Ok(())
    }
}

/// The namespace of what is kept for people beside the model in `namespace`.
pub(super) fn beside(namespace: &str, kept: &str) -> String {
    format!("{namespace} {kept}")
}

/// A key of the detector's.
pub(super) fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.as_bytes();
    (digits.len().is_multiple_of(2))
        .then(|| digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect())?
}
