//! How it usually goes: known shapes, and a Markov model of depth three for those that are not.
//!
//! A shape is the sequence of steps with their repeats in powers of two. Most invocations repeat a known shape: the
//! model runs on the rest only (the grouping idea of `GTrace`). Its probabilities are interpolated with absolute
//! discounting, `P(x|c) = max(n(cx) − d, 0)/n(c) + d·t(c)/n(c) · P(x|c′)`, down to a uniform one.

use super::{
    HashMap, LEARNING_DELAY,
    magnitude::log2_bucket,
    mix,
    observation::{Nanos, Step},
};

/// Shapes remembered a function.
const MOST_SHAPES: usize = 128;
/// Transitions and contexts remembered a function.
const MOST_TRANSITIONS: usize = 768;
/// Longest context.
const DEPTH: usize = 3;
/// Absolute discount.
const DISCOUNT: f64 = 0.5;
/// Steps of one invocation looked at; more are a matter of repeats and counts.
const MOST_STEPS: usize = 64;
/// Before the first step, and after the last.
const EDGE: u64 = 0x5e_4158;
/// A shape as common as this teaches the transitions nothing more.
const LEARNED_WELL: u32 = 64;

/// The hash of a sequence of steps.
pub fn shape(steps: &[Step]) -> u64 {
    steps.iter().fold(EDGE, |hash, step| mix(hash, step.hash ^ (log2_bucket(step.repeat) as u64)))
}

/// What is known of one shape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    pub count: u32,
    /// When it was first seen, while it is not learned yet; 0 once it is.
    pub born: Nanos,
    pub quarantined_until: Nanos,
}

/// Shapes and transitions of one function.
#[derive(Clone, Debug, Default)]
pub struct Order {
    pub shapes: HashMap<Shape>,
    /// Shapes that one invocation alone has had.
    pub unique: u32,
    /// Of a context and what followed it.
    pub transitions: HashMap<u32>,
    /// Of a context: how often, and how many different ones followed.
    pub contexts: HashMap<(u32, u32)>,
}

impl Order {
    /// Whether the shape is learned.
    pub fn knows(&self, shape: u64, now: Nanos) -> bool {
        self.shapes.get(&shape).is_some_and(|known| known.is_learned(now))
    }

    /// Surprise of a shape that is not known, bits: as for new keys.
    pub fn shape_surprise(&self, n: f64, all: f64) -> f64 {
        let unique = (f64::from(self.unique) * n / all.max(1.0)).min(n);
        ((n + 1.0) / (unique + 1.0)).log2().max(0.0)
    }

    /// The most surprising step of a sequence: `(its place, bits)`.
    pub fn surprise(&self, steps: &[Step]) -> Option<(usize, f64)> {
        let mut strongest: Option<(usize, f64)> = None;
        let mut contexts = Contexts::default();
        for (place, step) in steps.iter().take(MOST_STEPS).map(|step| step.hash).chain([EDGE]).enumerate() {
            let bits = -self.probability(&contexts, step).log2();
            if strongest.is_none_or(|(_, most)| bits > most) {
                strongest = Some((place, bits));
            }
            contexts.push(step);
        }
        strongest
    }

    fn probability(&self, contexts: &Contexts, step: u64) -> f64 {
        let distinct = self.contexts.get(&contexts.hash(0)).map_or(0, |(_, distinct)| *distinct);
        let mut probability = 1.0 / (f64::from(distinct) + 1.0);
        for depth in 0..=DEPTH {
            let context = contexts.hash(depth);
            let Some((n, distinct)) = self.contexts.get(&context) else { break };
            let seen = self.transitions.get(&mix(context, step)).copied().unwrap_or(0);
            let (n, distinct) = (f64::from(*n), f64::from(*distinct));
            let kept = (f64::from(seen) - DISCOUNT).max(0.0) / n;
            probability = kept + DISCOUNT * distinct / n * probability;
        }
        probability.clamp(f64::MIN_POSITIVE, 1.0)
    }

    /// Counts an invocation of this shape.
    pub fn learn(&mut self, shape: u64, steps: &[Step], now: Nanos, quarantined_until: Nanos) {
        if !self.shapes.contains_key(&shape) && self.shapes.len() >= MOST_SHAPES {
            self.shapes.retain(|_, known| known.count > 1 || !known.is_learned(now));
            if self.shapes.len() >= MOST_SHAPES {
                self.unique = self.unique.saturating_add(1);
                return;
            }
        }
        let born = now.max(1);
        let known = self.shapes.entry(shape).or_insert(Shape { count: 0, born, quarantined_until });
        if known.is_learned(now) {
            known.born = 0;
        }
        known.count = known.count.saturating_add(1);
        let count = known.count;
        match count {
            1 => self.unique = self.unique.saturating_add(1),
            2 => self.unique = self.unique.saturating_sub(1),
            _ => {}
        }
        if count <= LEARNED_WELL && quarantined_until == 0 {
            self.learn_transitions(steps);
        }
    }

    /// What is new since `from` is not learned before `until`.
    pub fn quarantine(&mut self, from: Nanos, until: Nanos) {
        for shape in self.shapes.values_mut().filter(|shape| shape.born > 0 && shape.born >= from) {
            shape.quarantined_until = shape.quarantined_until.max(until);
        }
    }

    fn learn_transitions(&mut self, steps: &[Step]) {
        let mut contexts = Contexts::default();
        for step in steps.iter().take(MOST_STEPS).map(|step| step.hash).chain([EDGE]) {
            for depth in 0..=DEPTH {
                let context = contexts.hash(depth);
                let transition = mix(context, step);
                let known = self.transitions.contains_key(&transition);
                if !known && self.transitions.len() + self.contexts.len() >= MOST_TRANSITIONS {
                    continue;
                }
                *self.transitions.entry(transition).or_insert(0) += 1;
                let (n, distinct) = self.contexts.entry(context).or_insert((0, 0));
                *n += 1;
                *distinct += u32::from(!known);
            }
            contexts.push(step);
        }
    }
}

impl Shape {
    fn is_learned(&self, now: Nanos) -> bool {
        self.born == 0 || (now >= self.born.saturating_add(LEARNING_DELAY) && now >= self.quarantined_until)
    }
}

/// The last steps, newest first.
struct Contexts([u64; DEPTH]);

impl Default for Contexts {
    fn default() -> Self {
        Self([EDGE; DEPTH])
    }
}

impl Contexts {
    fn hash(&self, depth: usize) -> u64 {
        self.0.iter().take(depth).fold(depth as u64 + 1, |hash, step| mix(hash, *step))
    }

    fn push(&mut self, step: u64) {
        self.0.rotate_right(1);
        if let Some(newest) = self.0.first_mut() {
            *newest = step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(hashes: &[u64]) -> Vec<Step> {
        hashes.iter().map(|hash| Step { hash: *hash, repeat: 1 }).collect()
    }

    #[test]
    fn a_swap_and_a_gap_surprise_and_the_usual_does_not() {
        let mut order = Order::default();
        let usual = steps(&[1, 2, 3, 4]);
        for n in 0..60 {
            order.learn(shape(&usual), &usual, n * LEARNING_DELAY, 0);
        }
        assert!(order.knows(shape(&usual), 60 * LEARNING_DELAY));
        let (_, ordinary) = order.surprise(&usual).unwrap();
        for (name, sequence, place) in [("swapped", [1, 3, 2, 4], 1), ("repeated", [1, 2, 2, 4], 2)] {
            let (found, bits) = order.surprise(&steps(&sequence)).unwrap();
            assert!(bits > ordinary + 4.0, "{name}: {bits} against {ordinary}");
            assert_eq!(found, place, "{name}");
        }
        let (found, bits) = order.surprise(&steps(&[1, 2, 4])).unwrap();
        assert!(bits > ordinary + 4.0 && found == 2, "gap: {bits} at {found}");
    }

    #[test]
    fn a_loop_of_another_length_in_the_same_power_of_two_is_the_same_shape() {
        let looped = |repeat| shape(&[Step { hash: 1, repeat: 1 }, Step { hash: 2, repeat }]);
        assert_eq!(looped(37), looped(50));
        assert_ne!(looped(1), looped(37));
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut order = Order::default();
        for n in 0..5000_u64 {
            let sequence = steps(&[n, n + 1, n * 7, n * 13]);
            order.learn(shape(&sequence), &sequence, n * LEARNING_DELAY, 0);
        }
        assert!(order.shapes.len() <= MOST_SHAPES);
        assert!(order.transitions.len() + order.contexts.len() <= MOST_TRANSITIONS + DEPTH + 1);
        assert!(order.unique > 4000, "the discovery rate remembers: {}", order.unique);
    }
}
