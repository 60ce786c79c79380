//! Byte-weighted admission: how much request data this receiver may hold at once, from the first byte of a body until
//! its answer. Refusing before reading is what keeps memory flat when senders outrun the pipeline.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that may be in hand.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Semaphore>);

/// The bytes one request holds; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    room: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// Room for `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// A request that holds nothing yet.
    pub fn begin(&self) -> Admitted {
        Admitted { room: self.0.clone(), permit: None }
    }
}

impl Admitted {
    /// Whether `bytes` in all could be held now. An announcement holds nothing: it costs its sender nothing either.
    pub fn could_hold(&self, bytes: usize) -> bool {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        bytes.saturating_sub(held) <= self.room.available_permits()
    }

    /// Holds at least `bytes` in all; `false` when there is no room now.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(missing) = bytes.checked_sub(held).filter(|missing| *missing > 0) else { return true };
        let Ok(missing) = u32::try_from(missing) else { return false };
        let Ok(more) = self.room.clone().try_acquire_many_owned(missing) else { return false };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let admission = Admission::new(100);
        let mut first = admission.begin();
        assert!(first.hold(60) && first.hold(60) && first.hold(80));
        let mut second = admission.begin();
        assert!(!second.hold(21), "only 20 bytes are left");
        assert!(second.hold(20));
        drop(first);
        assert!(second.hold(100));
        assert!(!second.hold(101), "never more than the limit");
        let third = admission.begin();
        assert!(!third.could_hold(1));
        drop(second);
        assert!(third.could_hold(100) && !third.could_hold(101));
    }
}
