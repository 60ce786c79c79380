use std::{fs, path::Path};

use super::*;
use crate::{config::Kind, pipeline::probe, store::FILE};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

#[tokio::test]
async fn components_find_the_store_under_the_extensions_id() {
    let directory = tempfile::tempdir().unwrap();
    let context = probe::context("file_storage/state", directory.path());
    let config = Config { directory: PathBuf::from("a/b"), ..Config::default() };
    let running = config.start(&context).await.unwrap();
    let store = context.shared.get::<Store>("file_storage/state").unwrap();
    store.run(|store| store.put_all("n", &pairs(&[("k", "v")]))).await.unwrap();
    assert_eq!(store.run(|store| store.get("n", "k")).await.unwrap().as_deref(), Some(b"v".as_slice()));
    assert_eq!(names(&directory.path().join("a/b")), [FILE]);
    running.stop().await;
    assert!(context.shared.get::<Store>("file_storage/state").is_none());
}

#[tokio::test]
async fn a_store_in_use_is_waited_for_and_then_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let context = probe::context("file_storage", directory.path());
    let config = Config { directory: PathBuf::new(), timeout: Duration::from_millis(100), ..Config::default() };
    let first = config.open(&context).await.unwrap();
    let error = config.start(&context).await.err().unwrap().to_string();
    assert!(error.contains("another process, or another file_storage, uses the same directory"), "{error}");
    let patient = Config { timeout: Duration::from_secs(30), ..config };
    let (second, ()) = tokio::join!(patient.open(&context), async { drop(first) });
    assert!(second.is_ok());
    assert_eq!(names(directory.path()), [FILE], "in use is not damaged");
}

#[tokio::test]
async fn a_missing_directory_is_an_error_if_it_may_not_be_created() {
    let directory = tempfile::tempdir().unwrap();
    let context = probe::context("file_storage", directory.path());
    let config = Config { directory: PathBuf::from("none"), create_directory: false, ..Config::default() };
    let error = config.start(&context).await.err().unwrap().to_string();
    assert!(error.contains("none does not exist; create it, or set create_directory: true"), "{error}");
}

#[test]
fn an_empty_directory_name_is_refused() {
    let (_, said) = probe::config::<Config>(Kind::Extension, "directory: ''");
    assert!(said.contains("must not be empty"), "{said}");
    let (_, said) = probe::config::<Config>(Kind::Extension, "directory: /x\nfsync: true");
    assert!(said.contains("unknown key `fsync`"), "{said}");
}
