use super::*;
use crate::{
    detect::observation::{Risk, Source},
    incidents::tests::{destination, key, novel, plain},
};

fn in_span(span: u8, evidence: Evidence) -> Evidence {
    Evidence { source: Source { span_id: [span; 8], ..Source::default() }, ..evidence }
}

fn measured(feature: Feature, observed: &str, usual: &str) -> Evidence {
    Evidence { observed: observed.to_owned(), usual: usual.to_owned(), ..plain(feature, 9.0) }
}

#[test]
fn the_headline_says_who_did_what_and_how_unusual_that_is() {
    use Family::{Edge, Error, Operation, Resource};
    let secret = || novel(Operation, Risk::Identity, "secretsmanager.GetSecretValue", 17.0);
    let admin = || novel(Resource, Risk::Identity, "prod/admin", 16.0);
    let post = || novel(Operation, Risk::Write, "POST", 12.0);
    let repeats = Evidence {
        key: Some(key(Operation, Risk::Read, "dynamodb.GetItem")),
        ..measured(Feature::Repeats, "37 times", "at most 3 times")
    };
    let slow = || measured(Feature::Magnitude(Quantity::DurationUs), "9.8 s", "at most 1.2 s");
    let rare = Evidence { seen_in: 3, usual: String::new(), fleet: (1, 12), ..novel(Edge, Risk::Write, "refund", 8.0) };
    #[rustfmt::skip]
    let table: &[(&str, Vec<Evidence>, &str)] = &[
        ("41", vec![in_span(1, secret()), in_span(1, admin()), in_span(2, destination("185.1.2.3:443", 15.0)), in_span(2, post())],
            "reserve-booking v41 called secretsmanager.GetSecretValue on prod/admin and sent POST to 185.1.2.3:443: \
             neither ever seen in 120,433 invocations; 0 of 11 other functions do"),
        ("", vec![destination("185.1.2.3:443", 15.0)],
            "reserve-booking reached 185.1.2.3:443: never seen in 120,433 invocations; 0 of 11 other functions do"),
        ("$LATEST", vec![secret(), admin(), destination("a.example", 9.0)],
            "reserve-booking $LATEST called secretsmanager.GetSecretValue, touched prod/admin and reached a.example: \
             none ever seen in 120,433 invocations; 0 of 11 other functions do"),
        ("41", vec![slow()], "reserve-booking v41 ran for 9.8 s: usually at most 1.2 s"),
        ("41", vec![repeats, slow()],
            "reserve-booking v41 repeated dynamodb.GetItem 37 times (usually at most 3 times) and ran for 9.8 s \
             (usually at most 1.2 s)"),
        ("41", vec![destination("a.example", 15.0), slow()],
            "reserve-booking v41 reached a.example: never seen in 120,433 invocations; 0 of 11 other functions do"),
        ("41", vec![rare], "reserve-booking v41 invoked refund: in 3 of 120,433 invocations; 1 of 11 other functions does"),
        ("41", vec![Evidence { fleet: (0, 1), out_of: 0, ..novel(Error, Risk::Read, "AccessDenied", 5.0) }],
            "reserve-booking v41 failed with AccessDenied: never seen in 12 invocations"),
        ("41", Vec::new(), "reserve-booking v41 behaved unusually as a whole"),
        ("41", vec![destination("a\u{202e}b\nc", 5.0)],
            "reserve-booking v41 reached a\u{fffd}b c: never seen in 120,433 invocations; 0 of 11 other functions do"),
    ];
    for (version, evidence, expected) in table {
        let function = FunctionRef { hash: 1, name: "reserve-booking", version };
        let text = headline(function, evidence, 12);
        assert_eq!(text, *expected);
        assert!(text.chars().count() <= HEADLINE);
    }
}

#[test]
fn a_headline_that_would_be_too_long_says_less_before_it_is_cut() {
    let long = |family, n: usize| novel(family, Risk::Write, &format!("{n}{}", "n".repeat(120)), 9.0);
    let evidence = [long(Family::Operation, 1), long(Family::Resource, 2), long(Family::Destination, 3)];
    let function = FunctionRef { hash: 1, name: &"f".repeat(100), version: "abcdef0123456789" };
    let text = headline(function, &evidence, 12);
    assert!(text.chars().count() <= HEADLINE, "{text}");
    assert!(text.contains("abcdef01234…") && text.contains("120,433 invocations"), "{text}");
}

#[test]
fn other_functions_drawn_in_fit_into_the_headline() {
    assert_eq!(with_others("a did b", 0), "a did b");
    assert_eq!(with_others("a did b", 1), "a did b (and 1 other function)");
    let long = with_others(&"x".repeat(HEADLINE), 12);
    assert!(long.ends_with("… (and 12 other functions)") && long.chars().count() <= HEADLINE);
}

#[test]
fn the_counterfactual_takes_whole_families_away() {
    let to = destination("185.1.2.3", 10.0);
    let order = plain(Feature::Order, 7.2);
    let secret = novel(Family::Operation, Risk::Identity, "GetSecretValue", 10.0);
    #[rustfmt::skip]
    let table: &[(&str, f64, Vec<Evidence>, &str)] = &[
        ("one family is enough",     17.2, vec![to.clone(), order.clone()],
            "without the new destination: 7.2 bits, below the 12.8-bit line"),
        ("one family, two keys",     27.2, vec![to.clone(), destination("other", 10.0), order.clone()],
            "without the new destination: 7.2 bits, below the 12.8-bit line"),
        ("two families",             27.2, vec![to.clone(), secret.clone(), order.clone()],
            "without the new destination and the new operation: 7.2 bits, below the 12.8-bit line"),
        ("no three families",        50.0, vec![to.clone(), secret, order.clone()],
            "even without the new destination, the new operation and the unusual order: 22.8 bits, above the 12.8-bit line"),
        ("below the line already",   12.0, vec![to, order],
            "at 12.0 bits it is below the 12.8-bit page line already; without the new destination: 2.0 bits"),
        ("nothing to take away",     13.0, Vec::new(),
            "at 13.0 bits it is above the 12.8-bit line, and no evidence says why"),
    ];
    for (row, score, evidence, expected) in table {
        assert_eq!(counterfactual(*score, 12.8, evidence), *expected, "{row}");
    }
}

#[test]
fn each_piece_of_evidence_has_a_phrase() {
    let rare = Evidence { seen_in: 3, usual: String::new(), ..destination("a.example", 4.0) };
    let slow = measured(Feature::Magnitude(Quantity::DurationUs), "9.8 s", "at most 1.2 s");
    #[rustfmt::skip]
    let table = [
        (destination("185.1.2.3:443", 17.24), "new destination 185.1.2.3:443: never in 120,433 invocations, 0 of 11 other functions (17.2 bits)"),
        (rare,                                "rare destination a.example: in 3 of 120,433 invocations, 0 of 11 other functions (4.0 bits)"),
        (Evidence { fleet: (0, 0), ..slow },  "unusual duration 9.8 s: at most 1.2 s (9.0 bits)"),
    ];
    for (evidence, expected) in table {
        assert_eq!(phrase(&evidence), expected);
    }
}
