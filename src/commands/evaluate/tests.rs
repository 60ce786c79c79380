use super::*;

fn arguments() -> Arguments {
    Arguments {
        runs: None,
        seed: 11,
        days: Some(8),
        scale: Some(0.02),
        budget: Rate::weekly(1.0),
        quick: true,
        last: false,
        only: Some("A04".to_owned()),
        data: None,
        out: None,
    }
}

#[test]
fn equal_seeds_give_equal_reports_and_what_was_tried_is_counted() {
    let plan = Plan { scenarios: scenarios::ALL[..2].to_vec(), ..Plan::of(&arguments()) };
    let report = || Report::of(&live_all(&plan, 11, 2), &plan, 11);
    let (first, second) = (report(), report());
    assert_eq!(first.to_json(), second.to_json());
    assert_eq!((first.runs, first.attacks.len()), (2, 3));
    for cell in &first.attacks {
        assert_eq!((cell.behaviour, cell.page.trials), ("A04-foreign-table", 2), "{cell:?}");
        assert!(cell.page.hits <= cell.queue.hits && cell.queue.hits <= 2, "{cell:?}");
        assert!(cell.loot.records > 0, "{cell:?}");
    }
    let ordinary = first.false_pages.iter().find(|row| row.promise == "ordinary days").unwrap();
    assert!((16.0..18.0).contains(&ordinary.fleet_days), "{ordinary:?}");
    let states: u64 = first.false_pages.iter().take(3).map(|row| row.pages).sum();
    assert_eq!(states, ordinary.pages);
    assert_eq!(first.scenarios.iter().map(|row| row.days).collect::<Vec<_>>(), [2, 2]);
    let text = text::markdown(&first);
    for part in ["# Evaluation", "A04-foreign-table | loud", "flash-crowd", "| all |"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    for (name, plot) in plots::all(&first) {
        assert!(plot.starts_with("<svg") && plot.trim_end().ends_with("</svg>"), "{name}");
        assert!(!plot.contains("NaN") && !plot.contains("inf\""), "{name}: {plot}");
    }
}

#[test]
fn what_is_set_aside_stays_aside() {
    let develops = Plan::of(&Arguments { only: None, ..arguments() });
    let last = Plan::of(&Arguments { only: None, last: true, ..arguments() });
    assert!(develops.applications.iter().all(|application| application.name != applications::HELD_OUT.name));
    assert!(develops.behaviours.iter().all(|behaviour| !behaviour.is_held_out()));
    assert_eq!(last.behaviours.len(), develops.behaviours.len() + catalogue::HELD_OUT.len());
    let known = develops.behaviours.first().unwrap();
    let stages = last.stages_for(known);
    assert_eq!(stages.len(), applications::HELD_OUT.stages.len());
}
