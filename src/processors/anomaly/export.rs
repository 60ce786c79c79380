//! A learned model as a file: from where it was learned to where it is needed.
//!
//! JSON lines: a head that says the format, a record a line (with a checksum of its own inside), and an end with how many
//! there are and a checksum of them all. Incidents, verdicts and what follows from them stay where they are: they are
//! about one place.

use std::io::{self, BufRead, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Model,
    state::{FUNCTIONS_KEPT, INCIDENTS, beside, bytes},
};
use crate::{
    otlp::hex,
    store::{Store, StoreError},
};

/// The format written, and the newest that is read.
const FORMAT: u32 = 1;

/// Why a model was not exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to export.
    #[error("the store holds no model of `{0}`; --detector names another `anomaly`")]
    Nothing(String),
    /// The file does not begin as it should.
    #[error("this is no model; `sekisho model export` writes one")]
    NoModel,
    /// It is of a later version.
    #[error("the model is of format {0}, and this version reads up to {FORMAT}; import it with a newer version")]
    Newer(u32),
    /// What was exported has changed since.
    #[error("line {0} is damaged; nothing was imported. Export the model again")]
    Damaged(usize),
    /// The end is missing.
    #[error("the model ends too early, after {0} records; nothing was imported. Export it again")]
    Cut(u64),
    /// Somebody has learned there already.
    #[error("the store has a model of {0} functions already; nothing was imported. --replace has it forgotten")]
    NotEmpty(usize),
    /// Reading or writing the file.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    sekisho_model: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Record(Record),
    End { records: u64, sha256: String },
}

/// One record of the store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    kind: Kind,
    key: String,
    /// In Base64.
    value: String,
}

/// Where a record belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// What the detector learned.
    Model,
    /// What functions are called.
    Name,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Model, Self::Name];

    fn namespace(self, id: &str) -> String {
        match self {
            Self::Model => id.to_owned(),
            Self::Name => beside(id, FUNCTIONS_KEPT),
        }
    }
}

/// Writes the model of the `anomaly` called `id`. Returns how many records it has.
pub fn export(store: &Store, id: &str, out: &mut dyn Write) -> Result<u64, Error> {
    let (mut records, mut sum, mut failed) = (0, Sha256::new(), None);
    for kind in Kind::ALL {
        store.iterate(&kind.namespace(id), |key, value| {
            if failed.is_some() || kind == Kind::Model && key == INCIDENTS {
                return;
            }
            let record = Record { kind, key: key.to_owned(), value: BASE64.encode(value) };
            // Where there is nothing to export, nothing is written.
            let head = if records == 0 { write_line(out, &Head { sekisho_model: FORMAT }, None) } else { Ok(()) };
            records += 1;
            failed = head.and_then(|()| write_line(out, &Line::Record(record), Some(&mut sum))).err();
        })?;
    }
    failed.map_or(Ok(()), Err)?;
    if records == 0 {
        return Err(Error::Nothing(id.to_owned()));
    }
    write_line(out, &Line::End { records, sha256: hex(&sum.finalize()) }, None)?;
    out.flush()?;
    Ok(records)
}

fn write_line(out: &mut dyn Write, line: &impl Serialize, sum: Option<&mut Sha256>) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    if let Some(sum) = sum {
        sum.update(&text);
    }
    out.write_all(&text)
}

/// Stores a model for the `anomaly` called `id`, once all of it is understood. Returns how many functions it knows.
pub fn import(store: &Store, id: &str, from: &mut dyn BufRead, replace: bool) -> Result<usize, Error> {
    let (model, records) = read(from)?;
    let mut old: Vec<(Kind, String)> = Vec::new();
    for kind in Kind::ALL {
        store.iterate(&kind.namespace(id), |key, _| {
            if kind != Kind::Model || key != INCIDENTS {
                old.push((kind, key.to_owned()));
            }
        })?;
    }
    let known = old.iter().filter(|(kind, _)| *kind == Kind::Name).count();
    if !old.is_empty() && !replace {
        return Err(Error::NotEmpty(known));
    }
    for kind in Kind::ALL {
        let gone = old.iter().filter(|(of, _)| *of == kind).map(|(_, key)| (key.clone(), None));
        let come =
            records.iter().filter(|(of, ..)| *of == kind).map(|(_, key, value)| (key.clone(), Some(value.clone())));
        store.apply(&kind.namespace(id), &gone.chain(come).collect::<Vec<_>>())?;
    }
    Ok(model.detector.functions())
}

type Records = Vec<(Kind, String, Vec<u8>)>;

/// Reads a whole model and has it understood before any of it is believed.
fn read(from: &mut dyn BufRead) -> Result<(Model, Records), Error> {
    let mut lines = from.lines();
    let head = lines.next().ok_or(Error::NoModel)??;
    let head: Head = serde_json::from_str(&head).map_err(|_| Error::NoModel)?;
    if head.sekisho_model > FORMAT {
        return Err(Error::Newer(head.sekisho_model));
    }
    let (mut model, mut records, mut sum) = (Model::new(1.0), Records::new(), Sha256::new());
    for (number, line) in (2..).zip(lines) {
        let line = line?;
        let damaged = || Error::Damaged(number);
        match serde_json::from_str(&line).map_err(|_| damaged())? {
            Line::Record(Record { kind, key, value }) => {
                sum.update(line.as_bytes());
                sum.update(b"\n");
                let value = BASE64.decode(value).map_err(|_| damaged())?;
                let understood = match kind {
                    Kind::Model => bytes(&key).is_some_and(|key| model.detector.restore(&key, &value).is_ok()),
                    Kind::Name => model.roster.restore(&key, &value),
                };
                if !understood {
                    return Err(damaged());
                }
                records.push((kind, key, value));
            }
            Line::End { records: count, sha256 } => {
                let whole = count == records.len() as u64 && sha256 == hex(&sum.finalize());
                return if whole { Ok((model, records)) } else { Err(damaged()) };
            }
        }
    }
    Err(Error::Cut(records.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::{super::state::State, *};
    use crate::{
        processors::anomaly::Annotated,
        testbed::{Options, Simulation, benign::DAY},
    };

    type Expected = fn(&Error) -> bool;

    fn store(folder: &tempfile::TempDir) -> Store {
        Store::open(folder.path(), true, "test").unwrap()
    }

    /// A store in which a day of a small fleet was learned, and that model.
    fn learned(folder: &tempfile::TempDir) -> (Store, Model) {
        let (store, mut model) = (store(folder), Model::new(1.0));
        let options = Options { days: 1, scale: 0.02, ..Options::default() };
        let mut simulation = Simulation::new(options);
        while let Some(delivery) = simulation.next_before(options.start + DAY) {
            model.see(&delivery.batch, Annotated::None);
        }
        store.put_all("anomaly", &State::changed(&mut model)).unwrap();
        store.put_all(&beside("anomaly", FUNCTIONS_KEPT), &model.roster.take_records()).unwrap();
        (store, model)
    }

    fn exported(store: &Store) -> String {
        let mut out = Vec::new();
        export(store, "anomaly", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_model_is_the_same_where_it_is_imported() {
        let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (from, model) = learned(&here);
        let (text, to) = (exported(&from), store(&there));
        assert_eq!(import(&to, "anomaly", &mut text.as_bytes(), false).unwrap(), model.detector.functions());
        assert_eq!(exported(&to), text);
        assert!(!text.contains(INCIDENTS), "incidents are about one place");
        let again = import(&to, "anomaly", &mut text.as_bytes(), false);
        assert!(matches!(again, Err(Error::NotEmpty(functions)) if functions > 0), "{again:?}");
        import(&to, "anomaly", &mut text.as_bytes(), true).unwrap();
        assert_eq!(exported(&to), text, "replaced by the same");
    }

    #[test]
    fn what_is_not_whole_changes_nothing() {
        let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (from, _) = learned(&here);
        let (text, to) = (exported(&from), store(&there));
        let lines: Vec<&str> = text.lines().collect();
        let without = |gone: usize| {
            let left = lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| *line);
            left.collect::<Vec<_>>().join("\n")
        };
        let table: [(&str, String, Expected); 6] = [
            ("nothing", String::new(), |error| matches!(error, Error::NoModel)),
            ("something else", "{\"resourceSpans\":[]}".to_owned(), |error| matches!(error, Error::NoModel)),
            ("of a later version", "{\"sekisho_model\":2}".to_owned(), |error| matches!(error, Error::Newer(2))),
            ("a record changed", text.replacen("\"value\":\"", "\"value\":\"AAAA", 1), |error| {
                matches!(error, Error::Damaged(2))
            }),
            ("a record missing", without(3), |error| matches!(error, Error::Damaged(_))),
            ("cut off", without(lines.len() - 1), |error| matches!(error, Error::Cut(records) if *records > 2)),
        ];
        for (name, text, expected) in table {
            let error = import(&to, "anomaly", &mut text.as_bytes(), false).unwrap_err();
            assert!(expected(&error), "{name}: {error:?}");
            let mut out = Vec::new();
            let nothing = export(&to, "anomaly", &mut out);
            assert!(matches!(nothing, Err(Error::Nothing(_))) && out.is_empty(), "{name}: {nothing:?}");
        }
    }
}
