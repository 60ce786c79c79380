//! Functions, made once for each way of naming them.

use std::sync::{Arc, OnceLock};

use crate::faas::{
    identity::Identity,
    intern::{Memory, hash_from, mix},
    template,
};

/// A version of a function.
#[derive(Clone, Debug, Default)]
pub(super) struct Function {
    pub(super) hash: u64,
    pub(super) peers: u64,
    pub(super) name: Box<str>,
    pub(super) version: Box<str>,
    /// Account and region, as far as they are known.
    pub(super) account: Box<str>,
    pub(super) region: Box<str>,
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
    /// By name alone: what comes from outside rarely says more.
    by_name: Memory<Arc<Function>>,
}

impl Functions {
    pub(super) fn new(secret: u64, capacity: usize) -> Self {
        Self { secret, known: Memory::new(capacity), by_name: Memory::new(capacity) }
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
            account: short(identity.account),
            region: short(identity.region),
            learned: OnceLock::new(),
        });
        self.known.put(signature, Arc::clone(&function));
        let name = self.name_hash(identity.name());
        // Who knows the account knows better.
        if !function.account.is_empty() || self.by_name.get(name).is_none_or(|known| known.account.is_empty()) {
            self.by_name.put(name, Arc::clone(&function));
        }
        function
    }

    /// The function called so that has sent telemetry of its own, if account and region, where they are known, agree.
    pub(super) fn named(&mut self, name: &str, account: &str, region: &str) -> Option<Arc<Function>> {
        let agree = |known: &str, said: &str| known.is_empty() || said.is_empty() || known == said;
        let known = self.by_name.get(self.name_hash(name))?;
        (agree(&known.account, account) && agree(&known.region, region)).then(|| known.best())
    }

    fn name_hash(&self, name: &str) -> u64 {
        hash_from(self.secret, name.as_bytes())
    }
}

/// A name, at most as long as a template.
pub(super) fn short(text: &str) -> Box<str> {
    let end = (0..=text.len().min(template::LIMIT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().into()
}
