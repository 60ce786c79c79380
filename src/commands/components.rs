//! `sekisho components`: the registry, as a table.

use std::io::Write as _;

use super::Failure;
use crate::registry::COMPONENTS;

/// Prints every component with its aliases, signals and stability.
pub fn run() -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(
        out,
        "{:<10} {:<14} {:<10} {:<22} {:<12} what it does",
        "kind", "type", "alias", "signals", "stability"
    );
    for component in COMPONENTS {
        let signals: Vec<&str> = component.signals.iter().map(|signal| signal.name()).collect();
        let _ = writeln!(
            out,
            "{:<10} {:<14} {:<10} {:<22} {:<12} {}",
            component.kind.name(),
            component.name,
            component.aliases.join(","),
            signals.join(","),
            component.stability.name(),
            component.summary,
        );
    }
    Ok(())
}
