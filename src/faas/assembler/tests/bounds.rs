use super::*;

#[test]
fn the_number_that_waits_is_bounded() {
    for (what, settings, told, open) in [
        ("invocations", Settings { max_open: 3, ..Settings::default() }, 7, 3),
        ("spans", Settings { max_held: 4, ..Settings::default() }, 6, 4),
    ] {
        let mut assembler = Assembler::new(settings);
        let spans: Vec<Spoken> = (1..=10).map(|trace| call(trace, 2, u64::from(trace), "Scan", "a")).collect();
        let closed = traces(&mut assembler, &[(RESERVE, &spans)]);
        assert_eq!((closed.len(), assembler.open()), (told, open), "{what}");
        assert_eq!(assembler.counters().evicted, told as u64, "{what}");
        assert!(closed.iter().all(|closed| !closed.complete), "{what}");
    }
}

#[test]
fn one_invocation_has_at_most_so_many_spans() {
    let mut assembler = Assembler::new(Settings { max_spans: 5, ..Settings::default() });
    let mut spans: Vec<Spoken> = (2..=10).map(|id| call(1, id, id, "Scan", "a")).collect();
    spans.push(handler(1, 1, 0));
    let told = traces(&mut assembler, &[(RESERVE, &spans)]);
    assert_eq!((told[0].records.len(), told[0].complete), (6, true));
    assert_eq!(assembler.counters().truncated, 4);
}

#[test]
fn what_is_remembered_is_bounded_and_grows_old() {
    let mut assembler = Assembler::new(Settings { max_recent: 4, ..Settings::default() });
    for trace in 1..=20 {
        traces(&mut assembler, &[(RESERVE, &[handler(trace, 1, 0)])]);
        assert!(assembler.groups.len() <= 4);
    }
    assert_eq!(assembler.groups.remembered, 4);
    assert_eq!(traces(&mut assembler, &[(RESERVE, &[handler(20, 1, 0)])]), []);
    assert_eq!(traces(&mut assembler, &[(RESERVE, &[handler(1, 1, 0)])]).len(), 1);
    advance(&mut assembler, T + 2 * Settings::default().recent);
    assert_eq!((assembler.groups.len(), assembler.groups.remembered), (0, 0));

    let mut assembler = Assembler::new(Settings { max_span_ids: 10, ..Settings::default() });
    for trace in 1..=20 {
        traces(&mut assembler, &[(RESERVE, &[call(trace, 2, 1, "Scan", "a"), handler(trace, 1, 0)])]);
    }
    assert_eq!((assembler.groups.len(), assembler.groups.remembered), (5, 10));
}

#[test]
fn ten_thousand_functions_in_one_request_are_told() {
    let names: Vec<String> = (0..10_000).map(|n| format!("f{n}")).collect();
    let resources: Vec<[(&str, &str); 1]> = names.iter().map(|name| [("faas.name", name.as_str())]).collect();
    let spans = [call(1, 2, 10, "Scan", "a"), Spoken { attributes: vec![], ..handler(1, 1, 0) }];
    let groups: Vec<(&[(&str, &str)], &[Spoken])> =
        resources.iter().map(|resource| (&resource[..], &spans[..])).collect();
    let told = traces(&mut Assembler::new(Settings::default()), &groups);
    let functions: std::collections::HashSet<u64> = told.iter().map(|told| told.function).collect();
    assert_eq!((told.len(), functions.len()), (10_000, 10_000));
    assert!(told.iter().all(|told| told.records.len() == 2 && told.complete));
}

#[test]
fn what_names_nothing_is_counted() {
    let mut assembler = Assembler::new(Settings::default());
    let unknown = [("service.name", "unknown_service:node")];
    assert_eq!(
        traces(&mut assembler, &[(&[], &[call(1, 2, 0, "Scan", "a")]), (&unknown, &[call(1, 3, 0, "Scan", "a")])]),
        []
    );
    assert_eq!(assembler.counters().unattributed, 2);
    // A handler's own attributes name it.
    assert_eq!(traces(&mut assembler, &[(&[], &[handler(1, 1, 0)])])[0].name, "reserve");
    let zero = [Spoken { trace: 0, ..handler(1, 1, 0) }, Spoken { id: 0, ..handler(1, 1, 0) }];
    assert_eq!(traces(&mut assembler, &[(RESERVE, &zero)]), []);
    assert_eq!(assembler.counters().malformed, 2);
}

#[test]
fn impossible_times_stay_near_the_others() {
    let mut assembler = Assembler::new(Settings::default());
    for trace in 1..=3 {
        traces(&mut assembler, &[(RESERVE, &[handler(trace, 1, 0)])]);
    }
    let day = clock::DAY;
    for (what, at, end) in [
        ("zero", 0, T + 100 * MS),
        ("most", Nanos::MAX, T + 100 * MS),
        ("far ahead", T + 900 * day, T + 100 * MS + day),
    ] {
        let span = Spoken { at, ms: 0, ..handler(9, at / 7 + 2, 0) };
        let told = traces(&mut assembler, &[(RESERVE, &[span])]);
        assert_eq!((told[0].end, assembler.watermark()), (end, T + 100 * MS), "{what}");
    }
}

#[test]
fn keys_have_families_in_the_order_of_touch() {
    let mut families = Vec::new();
    let body = request(&[(RESERVE, &[call(1, 2, 10, "Scan", "a"), handler(1, 1, 0)])]);
    Assembler::new(Settings::default()).traces(&body, &mut |told| {
        families.extend(told.observation.touches.iter().map(|touch| (touch.key.family, touch.source.span_id)));
    });
    let (first, second) = (1u64.to_be_bytes(), 2u64.to_be_bytes());
    assert_eq!(
        families,
        [(Family::Trigger, first), (Family::Artefact, first), (Family::Operation, second), (Family::Resource, second)]
    );
}
