//! For components' tests: a context, a configuration, a consumer that answers from a script.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
};

use serde::de::DeserializeOwned;

use super::{
    Batch, Boxed, Consumer, Outcome,
    component::{Context, Shared},
};
use crate::{
    config::{self, Check, Kind, Problems},
    telemetry::Metrics,
};

/// A context for the component `id` whose relative paths start at `base`.
pub fn context(id: &str, base: &Path) -> Context {
    Context {
        component: format!("component {id}"),
        id: id.to_owned(),
        metrics: Metrics::default(),
        shared: Shared::default(),
        base: base.to_owned(),
    }
}

/// Decodes `yaml` as the configuration of a component; what is wrong with it comes back as text, empty if nothing.
pub fn config<C: DeserializeOwned + Default + Check>(kind: Kind, yaml: &str) -> (C, String) {
    let indented = yaml.replace('\n', "\n    ");
    let text = format!("yaml:{}:\n  probed:\n    {indented}\n", kind.section());
    let (root, _) = config::read(&[text], &[], &|_| None);
    let component = root.section(kind).values().next().expect("the yaml must parse");
    let mut problems = Problems::new(Arc::clone(&root.texts));
    let config = config::decode(&component.node, &mut problems);
    let said = if problems.is_empty() { String::new() } else { problems.to_string() };
    (config, said)
}

/// Keeps what it is given and answers from a script, then with `Accepted`.
#[derive(Default)]
pub struct Script {
    answers: Mutex<VecDeque<Outcome>>,
    taken: Mutex<Vec<Batch>>,
    asked: Mutex<usize>,
}

impl Script {
    /// Will answer with `answers`, in this order.
    pub fn new(answers: impl IntoIterator<Item = Outcome>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, ..Self::default() })
    }

    /// Accepted batches.
    pub fn taken(&self) -> Vec<Batch> {
        self.taken.lock().unwrap().clone()
    }

    /// Items in each accepted batch.
    pub fn items(&self) -> Vec<usize> {
        self.taken().iter().map(|batch| batch.items).collect()
    }

    /// How often something was offered.
    pub fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

impl Consumer for Script {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        *self.asked.lock().unwrap() += 1;
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Outcome::Accepted);
        if matches!(answer, Outcome::Accepted | Outcome::Partial { .. }) {
            self.taken.lock().unwrap().push(batch);
        }
        Box::pin(std::future::ready(answer))
    }
}
