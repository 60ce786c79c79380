//! The report's pictures, as SVG that any browser shows.

use std::fmt::Write as _;

use super::{
    report::{Report, Share},
    tables::Cell,
};

/// The file names.
pub const MATRIX: &str = "attacks.svg";
/// Of the plot of times.
pub const SECONDS: &str = "seconds.svg";
/// Of the plot of scenarios.
pub const SCENARIOS: &str = "scenarios.svg";

const LINE: f64 = 18.0;
const LEFT: f64 = 230.0;

/// Every plot, by its file's name.
pub fn all(report: &Report) -> [(&'static str, String); 3] {
    [(MATRIX, matrix(report)), (SECONDS, seconds(report)), (SCENARIOS, scenarios(report))]
}

fn picture(width: f64, height: f64, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{content}</svg>\n"
    )
}

fn label(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222\">{text}</text>");
}

/// A row for each behaviour, a column for each intensity and tier; the darker, the more often noticed.
fn matrix(report: &Report) -> String {
    const CELL: f64 = 54.0;
    let mut behaviours: Vec<&str> = report.attacks.iter().map(|cell| cell.behaviour).collect();
    behaviours.dedup();
    let mut out = String::new();
    let columns = [("quiet", 0.0), ("usual", 1.0), ("loud", 2.0)];
    for (tier, at) in [("page", 0.0), ("page or queue", 3.3)] {
        label(&mut out, LEFT + (at + 1.5) * CELL, 14.0, "middle", tier);
        for (name, column) in columns {
            label(&mut out, LEFT + (at + column + 0.5) * CELL, 30.0, "middle", name);
        }
    }
    for (number, behaviour) in behaviours.iter().enumerate() {
        let top = 36.0 + number as f64 * LINE;
        label(&mut out, LEFT - 8.0, top + 13.0, "end", behaviour);
        for cell in report.attacks.iter().filter(|cell| cell.behaviour == *behaviour) {
            let column = columns.iter().find(|(name, _)| *name == cell.intensity).map_or(0.0, |(_, column)| *column);
            square(&mut out, LEFT + column * CELL, top, CELL, &cell.page);
            square(&mut out, LEFT + (column + 3.3) * CELL, top, CELL, &cell.queue);
        }
    }
    picture(LEFT + 6.5 * CELL, 44.0 + behaviours.len() as f64 * LINE, &out)
}

fn square(out: &mut String, x: f64, y: f64, width: f64, share: &Share) {
    let value = share.value();
    let (red, green) = (246.0 - 200.0 * value, 246.0 - 110.0 * value);
    let ink = if value > 0.6 { "#fff" } else { "#222" };
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"rgb({red:.0},{green:.0},{:.0})\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{ink}\">{:.0}</text>",
        width - 2.0,
        LINE - 2.0,
        248.0 - 80.0 * value,
        x + width / 2.0,
        y + 12.0,
        100.0 * value
    );
}

/// Median seconds of each cell that was noticed, on a logarithmic axis, one line an intensity.
fn seconds(report: &Report) -> String {
    const WIDTH: f64 = 520.0;
    const HEIGHT: f64 = 240.0;
    let mut out = String::new();
    let x = |seconds: f64| 60.0 + (seconds.max(0.1).log10() + 1.0) / 6.5 * WIDTH;
    for (seconds, name) in
        [(1.0, "1 s"), (10.0, "10 s"), (60.0, "1 min"), (600.0, "10 min"), (3600.0, "1 h"), (86_400.0, "1 d")]
    {
        let _ = writeln!(
            out,
            "<line x1=\"{0:.1}\" y1=\"20\" x2=\"{0:.1}\" y2=\"{1:.1}\" stroke=\"#ddd\"/>",
            x(seconds),
            20.0 + HEIGHT
        );
        label(&mut out, x(seconds), 36.0 + HEIGHT, "middle", name);
    }
    for (share, name) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
        label(&mut out, 54.0, 24.0 + HEIGHT * (1.0 - share), "end", name);
    }
    for (place, (intensity, colour)) in [("quiet", "#9ab"), ("usual", "#47a"), ("loud", "#124")].into_iter().enumerate()
    {
        let cells: Vec<&Cell> = report.attacks.iter().filter(|cell| cell.intensity == intensity).collect();
        let mut times: Vec<f64> = cells.iter().filter_map(|cell| cell.median_seconds).collect();
        times.sort_by(f64::total_cmp);
        let mut path = String::new();
        for (number, seconds) in times.iter().enumerate() {
            let y = 20.0 + HEIGHT * (1.0 - (number + 1) as f64 / cells.len().max(1) as f64);
            let _ = write!(path, "{}{:.1},{y:.1} ", if number == 0 { "M" } else { "L" }, x(*seconds));
        }
        let _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
        label(
            &mut out,
            70.0 + 60.0 * place as f64,
            14.0,
            "start",
            &format!("{intensity} {}", ["-", "--", "---"][place.min(2)]),
        );
    }
    picture(WIDTH + 90.0, HEIGHT + 50.0, &out)
}

/// False pages a day of each scenario with their intervals, and the budget.
fn scenarios(report: &Report) -> String {
    const WIDTH: f64 = 420.0;
    let most = report.scenarios.iter().map(|row| row.per_day_interval[1]).fold(0.5, f64::max);
    let x = |rate: f64| LEFT + rate / most * WIDTH;
    let mut out = String::new();
    for (number, row) in report.scenarios.iter().enumerate() {
        let y = 24.0 + number as f64 * LINE;
        label(&mut out, LEFT - 8.0, y + 4.0, "end", &row.id);
        let [low, high] = row.per_day_interval.map(x);
        let colour = if row.regime_change { "#999" } else { "#47a" };
        let _ = writeln!(
            out,
            "<line x1=\"{low:.1}\" y1=\"{y:.1}\" x2=\"{high:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>",
            x(row.per_day)
        );
    }
    let height = 30.0 + report.scenarios.len() as f64 * LINE;
    let budget = x(report.budget_per_week / 7.0);
    let _ = writeln!(
        out,
        "<line x1=\"{budget:.1}\" y1=\"14\" x2=\"{budget:.1}\" y2=\"{height:.1}\" stroke=\"#c33\" stroke-dasharray=\"4 3\"/>"
    );
    label(&mut out, budget, 10.0, "middle", "budget");
    label(&mut out, LEFT + WIDTH, height + 12.0, "end", &format!("{most:.1} false pages a day"));
    picture(LEFT + WIDTH + 30.0, height + 20.0, &out)
}
