//! What is said about each cell: a JSON line and a row.

use std::collections::BTreeMap;

use serde::Serialize;

/// One cell with one gateway; with several rounds, the medians.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// The cell.
    pub cell: String,
    /// The gateway.
    pub gateway: &'static str,
    /// Rounds this is the median of.
    pub rounds: usize,
    /// Items offered a second; zero if as many as go.
    pub offered: f64,
    /// Items acknowledged a second.
    pub items_per_second: f64,
    /// CPU time of the gateway's process, user and kernel, an acknowledged item.
    pub cpu_us_per_item: f64,
    /// While the clock ran, MiB.
    pub rss_mean_mib: f64,
    /// Since the start, MiB.
    pub rss_max_mib: f64,
    /// Time to an acknowledgement, milliseconds.
    pub p50_ms: f64,
    /// The same.
    pub p99_ms: f64,
    /// Items.
    pub sent: u64,
    /// Items.
    pub acknowledged: u64,
    /// Items.
    pub received: u64,
    /// Items acknowledged that never arrived.
    pub lost: u64,
    /// Items that arrived more often than they were sent.
    pub duplicated: u64,
    /// Requests the sender was told to try again.
    pub refused: u64,
    /// Requests that failed in another way.
    pub failed: u64,
    /// Requests that were not offered because too many were in flight.
    pub held_back: u64,
    /// Bytes the sink received an item.
    pub bytes_out_per_item: f64,
    /// From exec to listening.
    pub listening_ms: f64,
    /// Before any work, MiB.
    pub idle_rss_mib: f64,
    /// Compressed requests were sent more than once for want of more.
    pub came_round: bool,
}

impl Row {
    /// Medians of what was measured, sums of what was counted.
    pub fn over(rounds: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let sum = |of: fn(&Self) -> u64| rounds.iter().map(of).sum();
        let Some(first) = rounds.first() else { return Self::default() };
        Self {
            cell: first.cell.clone(),
            gateway: first.gateway,
            rounds: rounds.len(),
            offered: median(|row| row.offered),
            items_per_second: median(|row| row.items_per_second),
            cpu_us_per_item: median(|row| row.cpu_us_per_item),
            rss_mean_mib: median(|row| row.rss_mean_mib),
            rss_max_mib: median(|row| row.rss_max_mib),
            p50_ms: median(|row| row.p50_ms),
            p99_ms: median(|row| row.p99_ms),
            sent: sum(|row| row.sent),
            acknowledged: sum(|row| row.acknowledged),
            received: sum(|row| row.received),
            lost: sum(|row| row.lost),
            duplicated: sum(|row| row.duplicated),
            refused: sum(|row| row.refused),
            failed: sum(|row| row.failed),
            held_back: sum(|row| row.held_back),
            bytes_out_per_item: median(|row| row.bytes_out_per_item),
            listening_ms: median(|row| row.listening_ms),
            idle_rss_mib: median(|row| row.idle_rss_mib),
            came_round: rounds.iter().any(|row| row.came_round),
        }
    }

    /// Items a second of CPU time.
    pub fn items_per_cpu_second(&self) -> f64 {
        if self.cpu_us_per_item > 0.0 { 1e6 / self.cpu_us_per_item } else { 0.0 }
    }
}

const HEAD: &str = "\
| cell | gateway | items/s | CPU µs/item | RSS mean/max MiB | ack p50/p99 ms | acknowledged | lost | duplicated | refused |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|";

/// The table's first two lines.
pub fn head(out: &mut impl std::io::Write) -> std::io::Result<()> {
    writeln!(out, "{HEAD}")
}

/// One row.
pub fn row(out: &mut impl std::io::Write, row: &Row) -> std::io::Result<()> {
    writeln!(
        out,
        "| {} | {} | {} | {:.3} | {:.0}/{:.0} | {:.1}/{:.1} | {} | {} | {} | {} |",
        row.cell,
        row.gateway,
        grouped(row.items_per_second as u64),
        row.cpu_us_per_item,
        row.rss_mean_mib,
        row.rss_max_mib,
        row.p50_ms,
        row.p99_ms,
        grouped(row.acknowledged),
        grouped(row.lost),
        grouped(row.duplicated),
        grouped(row.refused),
    )?;
    out.flush()
}

/// Against each peer in each cell: how many times more items a CPU second, and how many times less memory.
pub fn ratios(out: &mut impl std::io::Write, rows: &[Row]) -> std::io::Result<()> {
    let mut ours = BTreeMap::new();
    for row in rows.iter().filter(|row| row.gateway == "sekisho") {
        ours.insert(row.cell.as_str(), row);
    }
    let theirs: Vec<_> = rows.iter().filter(|row| row.gateway != "sekisho").collect();
    if theirs.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| cell | peer | items a CPU second, ours/theirs | RSS max, theirs/ours |\n|---|---|--:|--:|")?;
    for peer in theirs {
        let Some(us) = ours.get(peer.cell.as_str()) else { continue };
        let work = us.items_per_cpu_second() / peer.items_per_cpu_second();
        let memory = peer.rss_max_mib / us.rss_max_mib;
        writeln!(out, "| {} | {} | {work:.1} | {memory:.1} |", peer.cell, peer.gateway)?;
    }
    Ok(())
}

/// What each gateway needs before it has anything to do; `size` is of its program.
pub fn starts(out: &mut impl std::io::Write, rows: &[Row], size: impl Fn(&str) -> Option<u64>) -> std::io::Result<()> {
    writeln!(out, "\n| gateway | exec to listening ms | idle RSS MiB | program MB |\n|---|--:|--:|--:|")?;
    let mut by_gateway: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for row in rows {
        by_gateway.entry(row.gateway).or_default().push(row.clone());
    }
    for (gateway, rows) in by_gateway {
        let Row { listening_ms, idle_rss_mib, .. } = Row::over(&rows);
        let megabytes = size(gateway).unwrap_or(0) as f64 / 1e6;
        writeln!(out, "| {gateway} | {listening_ms:.1} | {idle_rss_mib:.1} | {megabytes:.1} |")?;
    }
    Ok(())
}

/// 1 234 567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}
