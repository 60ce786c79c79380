use std::{collections::BTreeSet, path::Path};

use super::PAGES;

/// Every file under `folder`, as a path from the page's root.
fn written(folder: &Path, prefix: &str, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
        if path.is_dir() {
            written(&path, &format!("{prefix}{name}/"), into);
        } else if !name.ends_with(".rs") {
            into.insert(format!("{prefix}{name}"));
        }
    }
}

fn text(path: &str) -> &'static str {
    let page = PAGES.iter().find(|page| page.path == path).unwrap_or_else(|| panic!("{path} is not served"));
    std::str::from_utf8(page.body).unwrap()
}

#[test]
fn every_file_that_is_written_is_served() {
    let mut written_files = BTreeSet::new();
    written(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console"), "/", &mut written_files);
    assert!(written_files.remove("/index.html"));
    written_files.insert("/".to_owned());
    let served: BTreeSet<String> = PAGES.iter().map(|page| page.path.to_owned()).collect();
    assert_eq!(served, written_files);
    assert_eq!(served.len(), PAGES.len());
}

#[test]
fn a_browser_is_told_what_each_file_is() {
    let table = [
        ("/", "text/html"),
        ("/main.js", "text/javascript"),
        ("/style/base.css", "text/css"),
        ("/icon.svg", "image/svg"),
    ];
    for (path, expected) in table {
        let page = PAGES.iter().find(|page| page.path == path).unwrap();
        assert!(page.media_type.starts_with(expected), "{path}: {}", page.media_type);
    }
}

/// Guarantees: what a module imports is there, and nothing comes from another place.
#[test]
fn the_page_needs_nothing_but_itself() {
    for page in PAGES.iter().filter(|page| page.path.ends_with(".js")) {
        let folder = page.path.rsplit_once('/').unwrap().0;
        for line in text(page.path).lines() {
            let Some(module) = line.rsplit_once(" from \"").and_then(|(_, rest)| rest.strip_suffix("\";")) else {
                continue;
            };
            let mut parts: Vec<&str> = folder.split('/').collect();
            for part in module.split('/') {
                match part {
                    "." => {}
                    ".." => drop(parts.pop()),
                    part => parts.push(part),
                }
            }
            text(&parts.join("/"));
        }
    }
    let index = text("/");
    for place in ["http:", "https:", "//", "<style", " style=", " on"] {
        assert!(!index.contains(place), "{place} in index.html");
    }
    for link in ["style/base.css", "style/views.css", "style/charts.css", "main.js", "icon.svg"] {
        assert!(index.contains(&format!("\"{link}\"")), "{link}");
        text(&format!("/{link}"));
    }
}
