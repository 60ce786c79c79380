//! What is told at once, what waits, and what is no news any more.

use super::*;

fn ready() -> (Detector, Nanos) {
    (trained(3).0, START + 14 * DAY + 11 * 60 * MINUTE)
}

fn ordinary(function: u64, at: Nanos) -> Invocation {
    Invocation { failed: false, cold: false, ..Invocation::usual(function, at, &mut Random(5)) }
}

#[test]
fn a_first_read_pages_unless_others_begin_to_read_the_same() {
    let (ready, at) = ready();
    for (name, others, pages) in [("alone", 0, vec![mix(1, 1)]), ("with two others", 2, vec![])] {
        let mut detector = ready.clone();
        let read = |function| ordinary(function, at).touch(Family::Resource, Risk::Read, "table/customers");
        let verdict = read(1).observe(&mut detector);
        assert_eq!(verdict.tier, Some(Tier::Queue), "{name}: {verdict:#?}");
        assert!(verdict.standardised > verdict.line, "{name}: it would have paged: {verdict:#?}");
        for other in 0..others {
            read(2 + other).observe(&mut detector);
        }
        detector.advance(at + 9 * MINUTE);
        assert_eq!(detector.take_due(), Vec::<u64>::new(), "{name}: too early");
        detector.advance(at + 11 * MINUTE);
        assert_eq!(detector.take_due(), pages, "{name}");
        assert_eq!(detector.promise().realised.0, pages.len() as u32, "{name}: and it is counted");
    }
}

#[test]
fn what_may_do_harm_waits_for_nobody() {
    let (mut detector, at) = ready();
    let verdict =
        ordinary(1, at).touch(Family::Destination, Risk::Egress, "collect.evil.example").observe(&mut detector);
    assert_eq!(verdict.tier, Some(Tier::Page), "{verdict:#?}");
}

#[test]
fn what_keeps_coming_is_less_of_a_surprise_though_it_is_not_learned() {
    let (mut detector, at) = ready();
    let mut scores = (0..6000).map(|n| {
        let again = ordinary(1, at + n * 5 * SECOND).touch(Family::Destination, Risk::Egress, "new.partner.example");
        again.observe(&mut detector).score
    });
    let first = scores.next().unwrap();
    let last = scores.last().unwrap();
    assert!(last < first / 2.0 && last > 0.0, "{first} became {last}");
}
