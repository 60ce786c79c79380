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
        ablation: false,
        observations: None,
        only: Some("A04".to_owned()),
        data: None,
        out: None,
    }
}

#[test]
fn equal_seeds_give_equal_reports_and_what_was_tried_is_counted() {
    let plan = Plan { scenarios: scenarios::ALL[..2].to_vec(), ..Plan::of(&arguments()) };
    let report = || Report::of(&live_all(std::slice::from_ref(&plan), 11, 2)[0], &plan, 11);
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

#[test]
fn an_ablation_has_a_row_for_each_part_and_the_first_is_the_whole() {
    let plan = Plan::of(&arguments());
    let plans: Vec<Plan> = [None, Some(Part::Touched)].map(|part| ablation::plan(&plan, part)).to_vec();
    let outcomes = live_all(&plans, 11, 1);
    assert_eq!(outcomes.len(), 2);
    let table = Ablation::of(&outcomes, &plan, 11);
    let [whole, touched] = table.rows.as_slice() else { panic!("{:?}", table.rows) };
    assert_eq!((whole.without, touched.without), ("nothing", "A: what was touched"));
    assert_eq!((whole.lost.hits, whole.won.hits, whole.page.trials), (0, 0, 3));
    assert!(whole.queue.hits > touched.queue.hits, "{whole:?} {touched:?}");
    assert!(table.markdown().contains("| nothing |"));
}

#[test]
fn observations_are_written_with_their_truth() {
    let folder = tempfile::tempdir().unwrap();
    observe(folder.path(), &Plan::of(&arguments()), 11, 1).unwrap();
    let lines = |name: &str| -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (quiet, attacks) = (lines("quiet-11.jsonl"), lines("attacks-11.jsonl"));
    assert!(quiet.iter().all(|line| line["malicious"] == false && line.get("attack").is_none()));
    let days = |of: &[serde_json::Value]| of.iter().map(|line| line["at"].as_u64().unwrap() / 86_400_000_000_000).max();
    assert_eq!(days(&quiet).unwrap() - days(&quiet[..1]).unwrap(), 8 + 14);
    for intensity in ["quiet", "usual", "loud"] {
        let name = format!("A04-foreign-table {intensity}");
        let of = || attacks.iter().filter(|line| line["attack"] == name.as_str());
        assert!(of().any(|line| line["malicious"] == true) && of().any(|line| line["malicious"] == false), "{name}");
    }
}
