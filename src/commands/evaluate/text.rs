//! The report for people, as Markdown.

use std::fmt::Write as _;

use super::{
    plots,
    report::{Report, Share},
    tables::Cell,
};

/// The whole report.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    let what = if report.r#final { "Final evaluation: what was set aside" } else { "Evaluation" };
    let _ = writeln!(
        out,
        "# {what}\n\n{} fleets of {} functions, seeds from {}, {} ordinary days each at {} of the usual traffic, then every \
         attack and every benign scenario from the same morning. {} items judged. Budget: {} false page(s) a week for a \
         fleet. Everything is simulated; intervals are 95 %.\n",
        report.runs,
        report.functions,
        report.first_seed,
        report.days,
        report.scale,
        report.items,
        report.budget_per_week
    );
    goals(&mut out, report);
    matrix(&mut out, report);
    totals(&mut out, report);
    false_pages(&mut out, report);
    difficulties(&mut out, report);
    misses(&mut out, report);
    out
}

fn goals(out: &mut String, report: &Report) {
    out.push_str("## Goals\n\n| goal | found | met |\n|---|---|---|\n");
    for goal in &report.goals {
        let _ = writeln!(out, "| {} | {} | {} |", goal.aim, goal.found, if goal.met { "yes" } else { "**no**" });
    }
    let [median, most] = report.seconds_to_detect.map(|s| s.map_or("-".to_owned(), seconds));
    let explained = &report.explained;
    let _ = writeln!(
        out,
        "\nNoticed after {median} (median), nine in ten within {most}. The first evidence names the cause in {}, one of the \
         first three in {}; the incident is the first of its week in {}.\n",
        share(&explained.first),
        share(&explained.first_three),
        share(&explained.ranked_first)
    );
}

fn matrix(out: &mut String, report: &Report) {
    let _ = writeln!(out, "## Attacks\n\n![Detection by behaviour and intensity]({})\n", plots::MATRIX);
    out.push_str(
        "Pages, and pages or queue, of all trials. What an attacker had by the first page, or by the end, is a mean.\n\n\
         | behaviour | intensity | page | queue | first evidence names it | after | invocations | rank | records | MB | GB-s |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for cell in &report.attacks {
        row(out, cell);
    }
    out.push('\n');
}

fn row(out: &mut String, cell: &Cell) {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
    let names = if cell.first_names_it.trials == 0 { "-".to_owned() } else { share(&cell.first_names_it) };
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {names} | {} | {} | {} | {} | {:.1} | {:.0} |",
        cell.behaviour,
        cell.intensity,
        share(&cell.page),
        share(&cell.queue),
        cell.median_seconds.map_or("-".to_owned(), seconds),
        number(cell.median_invocations),
        number(cell.median_rank),
        cell.loot.records,
        cell.loot.bytes as f64 / 1e6,
        cell.loot.gb_seconds
    );
}

fn totals(out: &mut String, report: &Report) {
    out.push_str(
        "Trials with Wilson's interval and, in brackets, over fleets as clusters (bootstrap).\n\n\
         | family | trials paged | trials queued | cells mostly paged | cells mostly queued |\n|---|---|---|---|---|\n",
    );
    for total in &report.totals {
        let [page, queue] = total.clustered.map(|interval| interval.map_or_else(String::new, bracketed));
        let columns = [&total.page, &total.queue, &total.cells_paged, &total.cells_queued].map(share);
        let [of_page, of_queue, cells_paged, cells_queued] = columns;
        let _ =
            writeln!(out, "| {} | {of_page}{page} | {of_queue}{queue} | {cells_paged} | {cells_queued} |", total.what);
    }
    let _ = writeln!(out, "\n![Time to notice]({})\n\nThe evidence that came first:\n", plots::SECONDS);
    for kind in &report.evidence {
        let _ = writeln!(out, "- {}: {}", kind.evidence, kind.first);
    }
    out.push('\n');
}

fn false_pages(out: &mut String, report: &Report) {
    let _ = writeln!(out, "## False pages\n\n![False pages by scenario]({})\n", plots::SCENARIOS);
    out.push_str(
        "Exact Poisson intervals; in brackets, over fleets as clusters (bootstrap).\n\n\
         | promise | fleet-days | function-days | false pages | a week (95 %) | a function-day (95 %) |\n\
         |---|---|---|---|---|---|\n",
    );
    for row in &report.false_pages {
        let ([low, high], [least, most]) = (row.per_week_interval, row.per_function_day_interval);
        let fleets = row.per_week_clustered.map_or_else(String::new, |[low, high]| format!(" [{low:.2} to {high:.2}]"));
        let _ = writeln!(
            out,
            "| {} | {:.0} | {:.0} | {} | {:.2} ({low:.2} to {high:.2}){fleets} | {:.1e} ({least:.1e} to {most:.1e}) |",
            row.promise, row.fleet_days, row.function_days, row.pages, row.per_week, row.per_function_day
        );
    }
    out.push_str("\n| scenario | days | false pages | a day (95 %) | promise suspended | within budget |\n|---|---|---|---|---|---|\n");
    for row in &report.scenarios {
        let [low, high] = row.per_day_interval;
        let within = match (row.within_budget, row.regime_change) {
            (true, _) => "yes",
            (false, true) => "no (regime change)",
            (false, false) => "**no**",
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.2} ({low:.2} to {high:.2}) | {} | {within} |",
            row.id, row.days, row.pages, row.per_day, row.suspended
        );
    }
    out.push('\n');
}

fn difficulties(out: &mut String, report: &Report) {
    out.push_str(
        "## Under difficulties\n\nThe same attacks at the usual intensity.\n\n| | page | queue |\n|---|---|---|\n",
    );
    for row in &report.robustness {
        let _ = writeln!(out, "| {} | {} | {} |", row.variant, share(&row.page), share(&row.queue));
    }
    out.push('\n');
}

/// What each false page said; the attacks nobody noticed are in the matrix, and each in the JSON.
fn misses(out: &mut String, report: &Report) {
    const MOST: usize = 60;
    out.push_str("## What false pages said\n\n");
    let pages = || report.misses.iter().filter(|miss| miss.kind != "unnoticed");
    for miss in pages().take(MOST) {
        let _ = writeln!(out, "- seed {}, {}: {}", miss.seed, miss.kind, miss.what);
    }
    if let Some(more) = pages().count().checked_sub(MOST).filter(|more| *more > 0) {
        let _ = writeln!(out, "- and {more} more, in report.json");
    }
}

/// `54 % (43-65)`.
pub fn share(share: &Share) -> String {
    if share.trials == 0 {
        return "-".to_owned();
    }
    let [low, high] = share.interval.map(|bound| bound * 100.0);
    format!("{:.0} % ({low:.0}-{high:.0})", 100.0 * share.value())
}

fn bracketed([low, high]: [f64; 2]) -> String {
    format!(" [{:.0}-{:.0}]", 100.0 * low, 100.0 * high)
}

fn seconds(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}
