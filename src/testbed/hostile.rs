//! Attacks under way: which invocations they turn, what they do outside of any, and what they bring.

use std::sync::Arc;

use super::{
    Simulation,
    application::{Op, Service},
    attacks::{Blind, Campaign, Outside, Who},
    benign::{MINUTE, Release},
    invocation::{DENIED, Size, Step},
    rng::Rng,
    sources::{spans::Handler, trail},
    truth::{Attack, Loot},
};
use crate::detect::observation::Nanos;

/// All attacks under way; the place of each is its place in [`super::Truth::attacks`].
#[derive(Clone, Debug, Default)]
pub(super) struct Hostile {
    running: Vec<Running>,
}

#[derive(Clone, Debug)]
struct Running {
    campaign: Arc<Campaign>,
    begins: Nanos,
    ends: Nanos,
    /// The one instance that is held, where only one is.
    instance: Option<u64>,
    /// A key seen in the held function.
    key: String,
}

impl Running {
    fn holds(&self, function: &str, at: Nanos) -> bool {
        self.campaign.function == function && (self.begins..=self.ends).contains(&at)
    }
}

impl Hostile {
    /// The campaign, and how far along it is.
    pub fn at(&self, malice: usize, at: Nanos) -> Option<(Arc<Campaign>, f64)> {
        let running = self.running.get(malice)?;
        let length = (running.ends - running.begins).max(1) as f64;
        Some((running.campaign.clone(), at.saturating_sub(running.begins) as f64 / length))
    }

    /// Which attack, if any, has this ordinary invocation.
    pub fn infects(&mut self, function: &str, instance: u64, at: Nanos, rng: &mut Rng) -> Option<usize> {
        for (index, running) in self.running.iter_mut().enumerate() {
            if running.campaign.infects <= 0.0 || !running.holds(function, at) {
                continue;
            }
            if running.campaign.one_instance && *running.instance.get_or_insert(instance) != instance {
                continue;
            }
            if rng.chance(running.campaign.infects) {
                return Some(index);
            }
        }
        None
    }

    /// Puts an attacker's version in the place of the function's own.
    pub fn replace(&self, function: &str, at: Nanos, release: &mut Release) {
        for running in self.running.iter().filter(|running| running.campaign.replaced && running.holds(function, at)) {
            release.version += 1;
            // Behind an honest release there is honest news, too.
            release.feature |= running.campaign.outside.is_empty();
        }
    }

    pub fn slower_start_ms(&self, function: &str, at: Nanos) -> f64 {
        let holding = self.running.iter().filter(|running| running.holds(function, at));
        holding.map(|running| running.campaign.slower_start_ms).sum()
    }

    /// Whether an invocation says nothing of itself.
    pub fn silences(&self, function: &str, malicious: Option<usize>, at: Nanos) -> bool {
        let this = malicious.and_then(|malice| self.running.get(malice));
        let silent = this
            .is_some_and(|running| running.campaign.blind == Blind::Silent && running.campaign.function == function);
        silent
            || self
                .running
                .iter()
                .any(|running| running.campaign.blind == Blind::SilentFromThenOn && running.holds(function, at))
    }

    /// Which attack, if any, floods an entry within this time: its place, how many times the usual, from when to when.
    pub fn flood(&self, entry: &str, from: Nanos, to: Nanos) -> Option<(usize, f64, (Nanos, Nanos))> {
        let floods = |running: &&Running| {
            running.campaign.flood > 1.0
                && running.campaign.entry == entry
                && running.begins < to
                && from < running.ends
        };
        let index = self.running.iter().position(|running| floods(&running))?;
        let running = self.running.get(index)?;
        Some((index, running.campaign.flood, (running.begins, running.ends)))
    }

    /// Notes the key of an instance that the attacker got hold of.
    pub fn learn_key(&mut self, malice: usize, function: &str, key: &str) {
        if let Some(running) = self.running.get_mut(malice).filter(|running| running.campaign.function == function) {
            key.clone_into(&mut running.key);
        }
    }
}

impl Simulation {
    /// Has `campaign` carried out, beginning at `at`; its place in [`super::Truth::attacks`].
    pub fn attack(&mut self, mut campaign: Campaign, at: Nanos) -> usize {
        let decoy = campaign.decoy.take();
        let index = self.truth.attacks.len();
        let ends = at + campaign.over;
        self.truth.attacks.push(Attack {
            id: campaign.id,
            function: campaign.function,
            begins: at,
            ends,
            invocations: Vec::new(),
            loot: Vec::new(),
            description: campaign.description.clone(),
            signs: campaign.signs.clone(),
        });
        let (requests, entry, over) = (campaign.requests, campaign.entry, campaign.over);
        let (outside, replaced, function) = (campaign.outside.clone(), campaign.replaced, campaign.function);
        // A key of the function's, as the attacker would find one in its environment.
        let mut key = [0; 16];
        self.rng.fill_id(&mut key);
        let key: String = "ASIA".chars().chain(key.into_iter().map(char::from)).collect();
        self.hostile.running.push(Running { campaign: Arc::new(campaign), begins: at, ends, instance: None, key });
        let mut last = at;
        for number in 0..requests {
            let jitter = self.rng.below(over / requests);
            last = at + number * over / requests + if number == 0 { 0 } else { jitter };
            self.arrive(last, entry, Some(index));
        }
        if let Some(attack) = self.truth.attacks.get_mut(index).filter(|_| requests > 0) {
            attack.ends = attack.ends.min(last).max(at);
        }
        if self.options.sources.trail {
            for outside in &outside {
                self.happen(index, outside, at);
            }
            if replaced && outside.is_empty() {
                self.record(
                    Op::new(Service::Lambda, "UpdateFunctionCode", function),
                    trail::PIPELINE,
                    at,
                    Size::sent(900),
                    None,
                );
            }
        }
        if let Some(decoy) = decoy {
            self.attack(*decoy, at.saturating_sub(30 * MINUTE));
        }
        index
    }

    /// Something outside of any function.
    fn happen(&mut self, index: usize, outside: &Outside, begins: Nanos) {
        let Some(running) = self.hostile.running.get(index) else { return };
        let (arn, key) = (trail::function_arn(running.campaign.function), running.key.clone());
        let caller = trail::outsider(outside.who, &arn, &key);
        let mut at = begins + outside.after;
        for _ in 0..outside.times {
            self.record(outside.op, caller, at, outside.size, outside.denied.then_some(DENIED));
            if let Some(attack) = self.truth.attacks.get_mut(index) {
                attack.ends = attack.ends.max(at);
                if outside.who != Who::Person {
                    let loot =
                        Loot { records: outside.size.rows.max(1), bytes: outside.size.received, gb_seconds: 0.0 };
                    attack.loot.push((at, loot));
                }
            }
            at += outside.every;
        }
    }

    /// Notes an invocation that belongs to an attack.
    pub(super) fn note(
        &mut self,
        malice: usize,
        handler: &Handler,
        malicious_from: Option<Nanos>,
        steps: &[Step],
        memory: u64,
    ) {
        let Some(running) = self.hostile.running.get(malice) else { return };
        let causes = running.campaign.causes == Some(handler.spec.name);
        let Some(attack) = self.truth.attacks.get_mut(malice) else { return };
        if let Some(from) = malicious_from {
            let first = attack.invocations.is_empty() && running.campaign.outside.is_empty();
            attack.begins = if first { from } else { attack.begins.min(from) };
            let work = steps.iter().filter(|step| step.start >= from);
            let mut loot = Loot::default();
            for step in work {
                loot.records += step.size.rows;
                loot.bytes += step.size.sent.max(step.size.received);
            }
            loot.gb_seconds = handler.end.saturating_sub(from) as f64 / 1e9 * memory as f64 / 1024.0;
            attack.loot.push((from, loot));
        } else if !causes {
            return;
        }
        attack.ends = attack.ends.max(handler.end);
        attack.invocations.push(handler.invocation.as_str().to_owned());
    }
}
