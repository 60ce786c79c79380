//! `group_by`: what each resource sent, in the file that one of its attributes names.
//!
//! Who sends telemetry chooses the name, so it can only go down from the star in the path, never up or elsewhere.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{Config, Form, Rotation, make_way, output::Output};
use crate::{
    otlp::{
        check::check,
        view::{self, ResourceGroup},
        wire,
    },
    pipeline::{Batch, Outcome},
};

/// Field number of the resource groups in a request.
const RESOURCE_GROUPS: u32 = 1;
/// Longest value that may become part of a path.
const LONGEST: usize = 1024;

/// The files of all groups.
pub(super) struct Groups {
    /// Of the path, before and after the star.
    before: String,
    after: String,
    attribute: String,
    rotation: Option<Rotation>,
    directory_mode: u32,
    max_open_files: usize,
    /// The one used last is last.
    open: Vec<(PathBuf, Output)>,
}

impl Groups {
    /// `path` has a star.
    pub(super) fn new(path: &Path, config: &Config, directory_mode: u32) -> Self {
        let path = path.to_string_lossy();
        let (before, after) = path.rsplit_once('*').unwrap_or((&path, ""));
        Self {
            before: before.to_owned(),
            after: after.to_owned(),
            attribute: config.group_by.resource_attribute.clone(),
            rotation: config.rotation.as_option().copied(),
            directory_mode,
            max_open_files: config.group_by.max_open_files,
            open: Vec::new(),
        }
    }

    /// Writes each resource's part of the batch to its file. After an error some are written and some are not.
    pub(super) fn put(&mut self, form: Form, batch: &Batch) -> io::Result<Outcome> {
        let mut requests: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        let mut homeless = Vec::new();
        for group in view::messages(&batch.body, RESOURCE_GROUPS) {
            let request = match self.path_of(ResourceGroup::new(group)) {
                Some(path) => requests.entry(path).or_default(),
                None => &mut homeless,
            };
            wire::put_bytes(request, RESOURCE_GROUPS, group);
        }
        for (path, request) in requests {
            match self.output(&path).and_then(|output| output.put(&form.message(batch.signal, &request))) {
                Err(error) if is_no_name(error.kind()) => homeless.extend(request),
                Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
                Ok(()) => {}
            }
        }
        let rejected = check(batch.signal, &homeless).unwrap_or(batch.items) as u64;
        if rejected == 0 {
            return Ok(Outcome::Accepted);
        }
        Ok(Outcome::Partial {
            rejected,
            message: format!("the resource has no `{}` that names a file", self.attribute),
        })
    }

    fn path_of(&self, group: ResourceGroup<'_>) -> Option<PathBuf> {
        let (_, value) = group.attributes().find(|(key, _)| *key == self.attribute.as_bytes())?;
        let name = value.text().filter(|name| name.len() <= LONGEST && !name.contains(char::is_control))?;
        let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
        (!parts.is_empty()).then(|| format!("{}{}{}", self.before, parts.join("/"), self.after).into())
    }

    /// The file at `path`, opened if it is not open.
    fn output(&mut self, path: &Path) -> io::Result<&mut Output> {
        let used = if let Some(at) = self.open.iter().position(|(open, _)| open == path) {
            self.open.remove(at)
        } else {
            make_way(path, self.directory_mode)?;
            (path.to_owned(), Output::open(path, true, self.rotation)?)
        };
        if self.open.len() >= self.max_open_files {
            self.open.remove(0);
        }
        self.open.push(used);
        let (_, output) = self.open.last_mut().ok_or(io::ErrorKind::NotFound)?;
        Ok(output)
    }
}

/// No other time will this be the name of a file: it is too long, or one is a file where the other is a directory.
fn is_no_name(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory};
    matches!(kind, AlreadyExists | InvalidFilename | IsADirectory | NotADirectory)
}
