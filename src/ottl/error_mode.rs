//! What becomes of a record on which a condition or statement fails.

use serde::Deserialize;

/// The Collector's `error_mode`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ErrorMode {
    /// What failed is skipped, counted and logged.
    #[default]
    Ignore,
    /// What failed is skipped and counted.
    Silent,
    /// The whole batch is refused for good.
    Propagate,
}
