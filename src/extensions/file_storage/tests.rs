use super::*;
use crate::{config::Kind, pipeline::probe};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn all(store: &Store, namespace: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    store.iterate(namespace, |key, value| all.push((key.to_owned(), value.to_owned()))).unwrap();
    all
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

#[test]
fn keys_keep_their_values_over_a_restart_in_their_own_namespace() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), true, "test").unwrap();
    assert_eq!(store.get("model", "a").unwrap(), None, "a namespace nobody wrote to");
    assert!(all(&store, "model").is_empty());
    store.put_all("model", &pairs(&[("b", "2"), ("a", "1")])).unwrap();
    store.put_all("incidents", &pairs(&[("a", "9")])).unwrap();
    store.put_all("model", &pairs(&[("b", "3")])).unwrap();
    drop(store);
    let store = open(directory.path(), true, "test").unwrap();
    assert_eq!(store.get("model", "b").unwrap().as_deref(), Some(b"3".as_slice()));
    assert_eq!(all(&store, "model"), pairs(&[("a", "1"), ("b", "3")]));
    assert_eq!(all(&store, "incidents"), pairs(&[("a", "9")]));
    assert!(store.remove("model", "a").unwrap());
    assert!(!store.remove("model", "a").unwrap());
    assert_eq!(all(&store, "model"), pairs(&[("b", "3")]));
    assert_eq!(names(directory.path()), [FILE]);
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
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let whole = {
        let store = open(directory.path(), true, "test").unwrap();
        store.put_all("n", &pairs(&[("k", "v")])).unwrap();
        drop(store);
        fs::read(&path).unwrap()
    };
    let mut no_magic = whole.clone();
    no_magic[..8].fill(0);
    #[rustfmt::skip]
    let table: &[(&str, Vec<u8>)] = &[
        ("not a store",       b"nothing of ours, but long enough to be looked at".repeat(100)),
        ("short",             b"x".to_vec()),
        ("cut in the header", whole[..200].to_vec()),
        ("cut in the middle", whole[..whole.len() / 2].to_vec()),
        ("wrong magic",       no_magic),
        ("zeros",             vec![0; whole.len()]),
    ];
    for (n, (row, bytes)) in table.iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        let store = open(directory.path(), true, "test").unwrap_or_else(|error| panic!("{row}: {error}"));
        assert_eq!(store.get("n", "k").unwrap(), None, "{row}");
        store.put_all("n", &pairs(&[("k", "v")])).unwrap();
        drop(store);
        let aside = directory.path().join(format!("{FILE}.damaged-{n}"));
        assert_eq!(fs::read(aside).unwrap(), *bytes, "{row}: kept for whoever wants to look");
    }
    assert_eq!(names(directory.path()).len(), table.len() + 1);
}

#[test]
fn files_set_aside_do_not_pile_up() {
    let directory = tempfile::tempdir().unwrap();
    for n in 0..20 {
        fs::write(directory.path().join(FILE), format!("damaged {n} {}", " ".repeat(9000))).unwrap();
        open(directory.path(), true, "test").unwrap();
    }
    assert_eq!(names(directory.path()).len(), MOST_DAMAGED as usize + 1);
}

#[test]
fn an_empty_directory_name_is_refused() {
    let (_, said) = probe::config::<Config>(Kind::Extension, "directory: ''");
    assert!(said.contains("must not be empty"), "{said}");
    let (_, said) = probe::config::<Config>(Kind::Extension, "directory: /x\nfsync: true");
    assert!(said.contains("unknown key `fsync`"), "{said}");
}
