//! Alerts on their way out: a bounded queue and one task, so that a slow destination never holds up telemetry.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot};

use super::trial::Trial;
use crate::{
    otlp::Signal,
    pipeline::{
        Batch, Next, Outcome,
        component::{Context, Outputs},
    },
    telemetry::Counter,
};

/// Alerts that may wait; a fleet that raises more at once has one incident, not a thousand.
const WAITING: usize = 1024;
/// First pause when the pipeline gives no hint; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

enum Item {
    Alerts(Batch),
    Flushed(oneshot::Sender<()>),
}

/// The queue's entrance.
pub struct Outbox {
    items: mpsc::Sender<Item>,
    to: Arc<ArcSwapOption<Outputs>>,
    /// Where alerts are kept instead, while nobody is to hear of them.
    trial: Arc<ArcSwapOption<Trial>>,
    dropped: Counter,
    component: String,
}

impl Outbox {
    /// An outbox without a destination; its task ends when the outbox is dropped.
    pub fn new(context: &Context, dropped: Counter) -> Self {
        let component = &context.component;
        let (items, queue) = mpsc::channel(WAITING);
        let (to, trial) = (Arc::new(ArcSwapOption::empty()), Arc::new(ArcSwapOption::empty()));
        tokio::spawn(context.watch(carry(queue, to.clone(), trial.clone(), dropped.clone(), component.clone())));
        Self { items, to, trial, dropped, component: component.clone() }
    }

    /// Where alerts go from now on.
    pub fn send_to(&self, outputs: Outputs) {
        self.to.store(Some(Arc::new(outputs)));
    }

    /// Has alerts kept by `trial` from now on; sends them again if there is none.
    pub fn observe(&self, trial: Option<Arc<Trial>>) {
        self.trial.store(trial);
    }

    /// Puts alerts in. When the queue is full they are lost, and that is said.
    pub fn put(&self, alerts: Batch) {
        let count = alerts.items as u64;
        let wanted = self.trial.load().is_some() || destination(&self.to).is_some();
        if wanted && self.items.try_send(Item::Alerts(alerts)).is_err() {
            self.dropped.add(count);
            tracing::error!(component = self.component, count, "alerts dropped: too many wait for their destination");
        }
    }

    /// Returns when everything put in before has been handed on.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.items.send(Item::Flushed(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

/// The pipelines that take alerts now.
fn destination(to: &ArcSwapOption<Outputs>) -> Option<Next> {
    to.load().as_ref()?.get(Signal::Logs)
}

async fn carry(
    mut queue: mpsc::Receiver<Item>,
    to: Arc<ArcSwapOption<Outputs>>,
    trial: Arc<ArcSwapOption<Trial>>,
    dropped: Counter,
    component: String,
) -> Result<(), String> {
    while let Some(item) = queue.recv().await {
        match item {
            Item::Alerts(alerts) => match trial.load_full() {
                Some(trial) => trial.keep(alerts, &dropped).await,
                None => deliver(alerts, &to, &dropped, &component).await,
            },
            Item::Flushed(done) => {
                let _ = done.send(());
            }
        }
    }
    Ok(())
}

async fn deliver(alerts: Batch, to: &ArcSwapOption<Outputs>, dropped: &Counter, component: &str) {
    let mut pause = FIRST_PAUSE;
    loop {
        // Looked up for every attempt: a reload may have changed the pipeline.
        let Some(next) = destination(to) else { return };
        let hint = match next.consume(alerts.clone()).await {
            Outcome::Accepted => return,
            Outcome::Partial { rejected, message } => return refused(rejected, &message, dropped, component),
            Outcome::Permanent { reason } => return refused(alerts.items as u64, &reason, dropped, component),
            Outcome::Retryable { after, .. } => after,
            Outcome::Overloaded { after } => Some(after),
        };
        tokio::time::sleep(hint.unwrap_or(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn refused(count: u64, reason: &str, dropped: &Counter, component: &str) {
    dropped.add(count);
    tracing::error!(component, count, reason, "alerts dropped: refused for good");
}
