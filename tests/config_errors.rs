//! Scenario: a configuration with several mistakes is validated. Guarantees: the whole report, word for word, is what
//! stands in `tests/config_errors/<case>/expected.txt`; `UPDATE_GOLDEN=1` writes it anew, to be read before committing.

use std::{fs, path::Path};

/// Variables set in every case.
fn variable(name: &str) -> Option<String> {
    let value = match name {
        "HOST" => "localhost",
        "PORT" => "4317",
        "LIMIT" => "256",
        _ => return None,
    };
    Some(value.to_owned())
}

/// The report on a case: `config.yaml`, then `config-2.yaml` if there is one.
fn report(case: &str) -> String {
    let sources: Vec<String> = ["config.yaml", "config-2.yaml"]
        .into_iter()
        .map(|file| format!("tests/config_errors/{case}/{file}"))
        .filter(|path| Path::new(path).exists())
        .collect();
    let (root, mut problems) = sekisho::config::read(&sources, &[], &variable);
    sekisho::registry::plan(root, &mut problems);
    assert!(problems.has_errors(), "{case} has no error");
    format!("{problems}\n")
}

#[test]
fn reports_are_what_they_should_be() {
    let mut cases: Vec<String> = fs::read_dir("tests/config_errors")
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    cases.sort();
    assert!(cases.len() >= 11, "{cases:?}");
    let mut wrong = Vec::new();
    for case in cases {
        let found = report(&case);
        assert!(!found.contains("hunter2"), "{case} tells a secret:\n{found}");
        let path = format!("tests/config_errors/{case}/expected.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &found).expect("a written file");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{case}: found\n{found}\nexpected\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
