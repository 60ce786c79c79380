//! What became of a batch, and the one mapping from that to gRPC and HTTP answers.

use std::time::Duration;

/// What became of a batch at its last safe point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was taken.
    Accepted,
    /// Some items can never be taken; the rest was.
    Partial {
        /// Items refused for good.
        rejected: u64,
        /// Why, for the sender.
        message: String,
    },
    /// Not now; the sender should try again.
    Retryable {
        /// When, if known.
        after: Option<Duration>,
        /// Why, for the sender.
        reason: String,
    },
    /// Never; trying again cannot help.
    Permanent {
        /// Why, for the sender.
        reason: String,
    },
    /// The gateway itself is full; the sender should slow down and try again.
    Overloaded {
        /// When to come back.
        after: Duration,
    },
}
