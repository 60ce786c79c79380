//! `mode: observe`: alerts are written to a file in the store's directory instead of being sent to anybody.
//!
//! OTLP JSON lines, each record with `sekisho.incident.mode` = `observe`; `sekisho report` reads them while the gateway
//! runs. When the file is large it becomes `<name>.1`, and the one before that goes.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Config, Mode};
use crate::{
    otlp::{
        edit::{Edit, Keep, Patch, PatchValue, edit},
        json,
    },
    pipeline::{
        Batch,
        component::{Context, StartError},
    },
    store::Store,
    telemetry::Counter,
};

/// Bytes of a file before another is begun: some thousands of alerts.
const LARGEST: u64 = 16 << 20;

/// Where alerts are kept that nobody is to be woken for.
pub struct Trial {
    path: PathBuf,
    kept: Counter,
    component: String,
}

impl Trial {
    /// The one `config` asks for, if it does.
    pub fn of(config: &Config, context: &Context) -> Result<Option<Arc<Self>>, StartError> {
        let labels = [("processor", context.id.as_str())];
        let kept = context.metrics.counter("sekisho_alerts_observed", "Alerts held back by `mode: observe`.", &labels);
        let Some(id) = config.state.as_ref().filter(|_| config.mode == Mode::Observe) else { return Ok(None) };
        let store = context
            .shared
            .get::<Store>(id)
            .ok_or_else(|| context.error(format!("state: `{id}` is not a running store; add a `file_storage`")))?;
        let path = store.directory().join(format!("{}.observed.jsonl", context.id.replace('/', "-")));
        let component = context.component.clone();
        tracing::info!(component, path = %path.display(), "observes: alerts are kept there and sent to nobody");
        Ok(Some(Arc::new(Self { path, kept, component })))
    }

    /// Keeps `alerts`; what cannot be written is lost, and that is said.
    pub async fn keep(self: Arc<Self>, alerts: Batch, lost: &Counter) {
        let count = alerts.items as u64;
        let trial = self.clone();
        let written = tokio::task::spawn_blocking(move || append(&trial.path, &alerts)).await;
        match written.map_err(io::Error::other).and_then(|written| written) {
            Ok(()) => self.kept.add(count),
            Err(error) => {
                lost.add(count);
                let path = self.path.display().to_string();
                tracing::error!(component = self.component, count, %error, path, "alerts dropped: cannot be kept");
            }
        }
    }
}

/// Says on each record that it was only observed.
struct Observed;

impl Edit for Observed {
    fn record(&mut self, _index: usize, _record: &[u8], patch: &mut Patch) -> Keep {
        patch.set("sekisho.incident.mode", PatchValue::Str("observe"));
        Keep::Yes
    }
}

fn append(path: &Path, alerts: &Batch) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|file| file.len() >= LARGEST) {
        let mut before = path.as_os_str().to_owned();
        before.push(".1");
        fs::rename(path, before)?;
    }
    let mut line = Vec::new();
    json::to_json(alerts.signal, &edit(alerts, &mut Observed).body, &mut line);
    line.push(b'\n');
    OpenOptions::new().create(true).append(true).open(path)?.write_all(&line)
}
