use std::fs;

use super::{file::MOST_DAMAGED, *};

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
    let store = Store::open(directory.path(), true, "test").unwrap();
    assert_eq!(store.get("model", "a").unwrap(), None, "a namespace nobody wrote to");
    assert!(all(&store, "model").is_empty());
    store.put_all("model", &pairs(&[("b", "2"), ("a", "1")])).unwrap();
    store.put_all("incidents", &pairs(&[("a", "9")])).unwrap();
    store.put_all("model", &pairs(&[("b", "3")])).unwrap();
    drop(store);
    let store = Store::open(directory.path(), true, "test").unwrap();
    assert_eq!(store.get("model", "b").unwrap().as_deref(), Some(b"3".as_slice()));
    assert_eq!(all(&store, "model"), pairs(&[("a", "1"), ("b", "3")]));
    assert_eq!(all(&store, "incidents"), pairs(&[("a", "9")]));
    assert!(store.remove("model", "a").unwrap());
    assert!(!store.remove("model", "a").unwrap());
    assert_eq!(all(&store, "model"), pairs(&[("b", "3")]));
    store.apply("model", &[("a".to_owned(), Some(b"4".to_vec())), ("b".to_owned(), None)]).unwrap();
    assert_eq!(all(&store, "model"), pairs(&[("a", "4")]));
    assert_eq!(names(directory.path()), [FILE]);
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let whole = {
        let store = Store::open(directory.path(), true, "test").unwrap();
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
        let store = Store::open(directory.path(), true, "test").unwrap_or_else(|error| panic!("{row}: {error}"));
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
        Store::open(directory.path(), true, "test").unwrap();
    }
    assert_eq!(names(directory.path()).len(), MOST_DAMAGED as usize + 1);
}
