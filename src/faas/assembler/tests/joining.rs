use super::*;

/// What every request of a case emits: complete or not, and how many records.
struct Row {
    what: &'static str,
    requests: Vec<Vec<Spoken>>,
    told: &'static [&'static [(bool, usize)]],
}

fn child_of(parent: u64, span: Spoken) -> Spoken {
    Spoken { parent, ..span }
}

fn entry(kind: i32, flags: u32, parent: u64, span: Spoken) -> Spoken {
    Spoken { kind, flags, parent, attributes: vec![], ..span }
}

#[test]
fn spans_find_their_handler() {
    let get = |id, at| call(1, id, at, "GetItem", "a");
    let rows = [
        Row {
            what: "children first, in requests of their own",
            requests: vec![vec![get(2, 10)], vec![get(3, 20)], vec![handler(1, 1, 0)]],
            told: &[&[], &[], &[(true, 1)]],
        },
        Row {
            what: "children late",
            requests: vec![vec![handler(1, 1, 0)], vec![get(2, 10), get(3, 20)]],
            told: &[&[(true, 1)], &[(false, 2)]],
        },
        Row {
            what: "everything twice",
            requests: vec![vec![get(2, 10), handler(1, 1, 0)], vec![get(2, 10), handler(1, 1, 0)]],
            told: &[&[(true, 2)], &[]],
        },
        Row {
            what: "twice in one request",
            requests: vec![vec![get(2, 10), get(2, 10), handler(1, 1, 0), handler(1, 1, 0)]],
            told: &[&[(true, 2)]],
        },
        Row {
            what: "a batch's own span below the handler is no invocation",
            requests: vec![vec![entry(5, 256, 1, get(2, 10)), child_of(2, get(3, 20)), handler(1, 1, 0)]],
            told: &[&[(true, 3)]],
        },
        Row {
            what: "the same, told before its handler",
            requests: vec![vec![entry(5, 256, 1, get(2, 10))], vec![handler(1, 1, 0)]],
            told: &[&[], &[(true, 1)]],
        },
        Row {
            what: "the same without flags, in one request",
            requests: vec![vec![entry(2, 0, 1, get(2, 10)), handler(1, 1, 0)]],
            told: &[&[(true, 2)]],
        },
        Row {
            what: "a parent in another function",
            requests: vec![vec![entry(2, 768, 77, get(2, 10)), child_of(2, get(3, 20))]],
            told: &[&[(true, 2)]],
        },
        Row {
            what: "a function that calls itself",
            requests: vec![vec![child_of(3, get(4, 30)), entry(2, 0, 2, get(3, 20)), get(2, 10), handler(1, 1, 0)]],
            told: &[&[(true, 2), (true, 2)]],
        },
        Row {
            what: "two invocations in one trace, by parent",
            requests: vec![vec![child_of(5, get(2, 10)), get(3, 10), handler(1, 1, 0), handler(1, 5, 0)]],
            told: &[&[(true, 2), (true, 2)]],
        },
        Row {
            what: "the second invocation's children before it",
            requests: vec![vec![handler(1, 1, 0)], vec![child_of(5, get(2, 210))], vec![handler(1, 5, 200)]],
            told: &[&[(true, 1)], &[], &[(true, 1)]],
        },
        Row {
            what: "an unknown parent within the time of the invocation",
            requests: vec![vec![handler(1, 1, 0)], vec![child_of(9, get(2, 50))]],
            told: &[&[(true, 1)], &[(false, 1)]],
        },
        Row {
            what: "parents in a circle",
            requests: vec![vec![
                child_of(3, get(2, 10)),
                child_of(2, get(3, 10)),
                handler(1, 1, 0),
                handler(1, 5, 200),
            ]],
            told: &[&[(true, 3), (true, 1)]],
        },
        Row {
            what: "the invocation's id on every span",
            requests: vec![vec![
                Spoken { kind: 1, parent: 1, flags: 0, ..handler(1, 2, 10) },
                Spoken { flags: 0, ..handler(1, 1, 0) },
            ]],
            told: &[&[(true, 2)]],
        },
        Row { what: "calls without any handler", requests: vec![vec![child_of(0, get(2, 10))]], told: &[&[]] },
    ];
    for row in rows {
        let mut assembler = Assembler::new(Settings::default());
        for (spans, expected) in row.requests.iter().zip(row.told) {
            let told = traces(&mut assembler, &[(RESERVE, spans)]);
            let mut told: Vec<_> = told.iter().map(|told| (told.complete, told.records.len())).collect();
            told.sort_unstable_by(|left, right| right.cmp(left));
            assert_eq!(told, *expected, "{}", row.what);
        }
        assert_eq!(row.requests.len(), row.told.len(), "{}", row.what);
    }
}

#[test]
fn children_held_are_told_with_their_handler() {
    let mut assembler = Assembler::new(Settings::default());
    assert_eq!(traces(&mut assembler, &[(RESERVE, &[call(1, 2, 10, "Scan", "a")])]), []);
    assert_eq!(assembler.open(), 1);
    let told = traces(&mut assembler, &[(RESERVE, &[handler(1, 1, 0)])]);
    assert!(told[0].touches.contains(&"Operation dynamodb.Scan ×1".to_owned()), "{told:?}");
    assert_eq!((told[0].records.len(), told[0].handler, assembler.open()), (1, Some(0), 0));
}

#[test]
fn what_waits_in_vain_is_told_incomplete() {
    let mut assembler = Assembler::new(Settings::default());
    traces(&mut assembler, &[(RESERVE, &[call(1, 2, 0, "Scan", "a")])]);
    let linger = Settings::default().linger;
    assert_eq!(advance(&mut assembler, T + linger), []);
    let told = advance(&mut assembler, T + linger + 10 * MS);
    assert_eq!((told.len(), told[0].complete, told[0].handler, told[0].records.len()), (1, false, None, 0));
    assert!(told[0].resource > 0);
    assert_eq!((assembler.open(), assembler.counters().abandoned), (0, 1));
    // Sent again, or late: neither twice nor lost.
    assert_eq!(traces(&mut assembler, &[(RESERVE, &[call(1, 2, 0, "Scan", "a")])]), []);
    let told = traces(&mut assembler, &[(RESERVE, &[handler(1, 1, 0)])]);
    assert_eq!((told.len(), told[0].complete), (1, true));
}

#[test]
fn functions_are_known_by_their_fullest_name() {
    let mut assembler = Assembler::new(Settings::default());
    let whole = traces(&mut assembler, &[(RESERVE, &[handler(1, 1, 0)])]);
    let late = traces(&mut assembler, &[(RESERVE, &[call(1, 2, 10, "Scan", "a")])]);
    traces(&mut assembler, &[(RESERVE, &[call(2, 2, 10, "Scan", "a")])]);
    let lost = advance(&mut assembler, Nanos::MAX);
    let other = [("faas.name", "reserve"), ("cloud.account.id", "5")];
    let other = traces(&mut assembler, &[(&other, &[Spoken { attributes: vec![], ..handler(3, 1, 0) }])]);
    assert_eq!(whole[0].function, late[0].function);
    assert_eq!(whole[0].function, lost[0].function);
    assert_ne!(whole[0].function, other[0].function);
    // Two functions share a trace.
    let pay = [("service.name", "pay")];
    let spans = [handler(4, 1, 0)];
    let callee = [Spoken { attributes: vec![], parent: 1, flags: 768, ..handler(4, 9, 10) }];
    let told = traces(&mut assembler, &[(RESERVE, &spans), (&pay, &callee)]);
    assert_eq!(told.iter().map(|told| told.name.as_str()).collect::<Vec<_>>(), ["reserve", "pay"]);
}

#[test]
fn the_trace_id_stands_in_for_the_invocation_id() {
    let span = Spoken { attributes: vec![], ..handler(0xab, 1, 0) };
    let told = traces(&mut Assembler::new(Settings::default()), &[(RESERVE, &[span])]);
    assert_eq!(told[0].invocation, "ab".repeat(16));
}

fn line(trace: u8, attributes: &[(&str, &str)], body: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: T + 50 * MS,
        severity_number: 17,
        body: value(text(body)),
        trace_id: if trace == 0 { vec![] } else { vec![trace; 16] },
        attributes: attributes.iter().map(|(key, value)| pair(key, text(value))).collect(),
        ..LogRecord::default()
    }
}

fn logs(assembler: &mut Assembler, attributes: &[(&str, &str)], log_records: Vec<LogRecord>) -> Vec<Told> {
    let scope_logs = vec![ScopeLogs { scope: None, log_records, schema_url: String::new() }];
    let group = ResourceLogs { resource: resource(attributes), scope_logs, schema_url: String::new() };
    let body = ExportLogsServiceRequest { resource_logs: vec![group] }.encode_to_vec();
    let mut told = Vec::new();
    assembler.logs(&body, &mut tell(&mut told));
    told
}

#[test]
fn lines_join_their_invocation() {
    let named: &[(&str, &str)] = &[("faas.name", "reserve")];
    for (what, resource, trace, attributes, invocation, span, lines) in [
        ("by trace", named, 1, &[][..], "invocation-1-1", 1, 1),
        ("by invocation id", named, 0, &[("faas.invocation_id", "invocation-1-1")], "invocation-1-1", 1, 1),
        ("by invocation id alone", &[], 0, &[("faas.execution", "invocation-1-1")], "invocation-1-1", 1, 1),
        ("of a trace not seen", named, 9, &[], "09090909090909090909090909090909", 0, 1),
        ("of an invocation not seen", named, 0, &[("faas.invocation_id", "x")], "x", 0, 1),
        (
            "of another function, with a stolen id",
            &[("faas.name", "b")],
            0,
            &[("faas.invocation_id", "invocation-1-1")],
            "invocation-1-1",
            0,
            1,
        ),
        ("of nobody", &[], 9, &[], "", 0, 0),
    ] {
        let mut assembler = Assembler::new(Settings::default());
        let function = traces(&mut assembler, &[(RESERVE, &[handler(1, 1, 0)])])[0].function;
        let told = logs(
            &mut assembler,
            resource,
            vec![line(trace, attributes, "seat 12 taken"), line(trace, attributes, "seat 13 taken")],
        );
        assert_eq!(told.len(), lines, "{what}");
        assert_eq!(assembler.counters().unattributed, if lines == 0 { 2 } else { 0 }, "{what}");
        let Some(told) = told.first() else { continue };
        assert_eq!((told.invocation.as_str(), told.span, told.complete), (invocation, span, false), "{what}");
        assert_eq!(told.touches, ["LogTemplate ERROR seat <n> taken ×2"], "{what}");
        assert_eq!(told.records, [0, 1], "{what}");
        assert_eq!(told.function == function, span == 1, "{what}");
    }
}
