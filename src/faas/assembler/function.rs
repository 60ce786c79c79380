//! Functions, made once for each way of naming them.

use std::sync::{Arc, OnceLock};

use crate::{
    detect::observation::Trust,
    faas::{
        identity::Identity,
        intern::{Memory, hash_from, mix},
        template,
    },
};

/// A version of a function.
#[derive(Clone, Debug, Default)]
pub(super) struct Function {
    pub(super) hash: u64,
    pub(super) peers: u64,
    pub(super) name: Box<str>,
    pub(super) version: Box<str>,
    /// The same function as its handler's spans name it, which may know the account when the resource does not.
    learned: OnceLock<Arc<Function>>,
}

impl Function {
    /// The function by its fullest name.
    pub(super) fn best(self: &Arc<Self>) -> Arc<Self> {
        Arc::clone(self.learned.get().unwrap_or(self))
    }

    /// Notes that `fuller` is this function.
    pub(super) fn learn(&self, fuller: &Arc<Self>) {
        if self.hash != fuller.hash {
            self.learned.get_or_init(|| Arc::clone(fuller));
        }
    }
}

/// All functions that were met lately.
#[derive(Clone, Debug)]
pub(super) struct Functions {
    secret: u64,
    known: Memory<Arc<Function>>,
}

impl Functions {
    pub(super) fn new(secret: u64, capacity: usize) -> Self {
        Self { secret, known: Memory::new(capacity) }
    }

    pub(super) const fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    /// The function that `identity`, complete, names.
    pub(super) fn of(&mut self, identity: &Identity<'_>) -> Arc<Function> {
        let parts = [
            identity.provider,
            identity.account,
            identity.region,
            identity.name(),
            identity.version(),
            identity.namespace,
        ];
        let signature = parts.iter().fold(self.secret, |state, part| mix(state, hash_from(state, part.as_bytes())));
        if let Some(function) = self.known.get(signature) {
            return function;
        }
        let function = Arc::new(Function {
            hash: identity.function(),
            peers: identity.peers(),
            name: short(identity.name()),
            version: short(identity.version()),
            learned: OnceLock::new(),
        });
        self.known.put(signature, Arc::clone(&function));
        function
    }
}

/// A name, at most as long as a template.
pub(super) fn short(text: &str) -> Box<str> {
    let end = (0..=text.len().min(template::LIMIT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().into()
}

/// How far telemetry that reaches us as OTLP from an SDK can be trusted.
pub(super) const TRUST: Trust = Trust::InProcess;
