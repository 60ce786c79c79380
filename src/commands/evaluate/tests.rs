use super::*;

fn arguments(runs: u64) -> Arguments {
    Arguments { runs, seed: 11, days: 8, scale: 0.05, budget: Rate::weekly(1.0), report: None }
}

#[test]
fn equal_seeds_give_equal_reports_and_what_was_tried_is_counted() {
    let report = || {
        let trials = trials(&arguments(2));
        Report::of(&trials, 11, 8, 1.0)
    };
    let (first, second) = (report(), report());
    assert_eq!(first.to_json(), second.to_json());
    assert_eq!(first.runs, 2);
    assert!(first.spans > 10_000, "{}", first.spans);
    assert_eq!(first.attacks.len(), 10);
    for attack in &first.attacks {
        assert_eq!(attack.trials, 2, "{attack:?}");
        assert!(attack.pages <= attack.noticed && attack.noticed <= 2, "{attack:?}");
        assert!(attack.explained <= attack.noticed, "{attack:?}");
    }
    assert!(first.attacks.iter().any(|attack| attack.pages == 2), "{}", first.to_table());
    let all = first.false_pages.last().unwrap();
    assert!((all.fleet_days - 16.0).abs() < 0.5, "{all:?}");
    assert_eq!(first.false_pages.iter().take(3).map(|row| row.pages).sum::<u64>(), all.pages);
}
