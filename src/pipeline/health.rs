//! How each pipeline is: written by the service and by components in trouble, read by `health_check`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How a pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Being built; takes nothing yet.
    Starting,
    /// Takes and delivers.
    Ready,
    /// Takes, but something is wrong, in words.
    Degraded(String),
    /// One of its components has broken down and does not come back by itself, in words.
    Failed(String),
    /// Hands on what it holds; takes nothing new.
    Stopping,
}

impl State {
    /// `starting`, `ready`, `degraded`, `failed` or `stopping`.
    pub const fn name(&self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Degraded(_) => "degraded",
            State::Failed(_) => "failed",
            State::Stopping => "stopping",
        }
    }
}

/// How every pipeline is: what the service says of it, and the troubles of the components it is made of.
#[derive(Debug, Default)]
pub struct Health(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    pipelines: BTreeMap<String, Pipeline>,
    /// By component, such as `exporter otlp_grpc/tempo`.
    troubles: BTreeMap<String, String>,
    /// By component: why it works no more.
    failures: BTreeMap<String, String>,
    extensions: Vec<String>,
}

#[derive(Debug)]
struct Pipeline {
    state: State,
    parts: Vec<String>,
}

impl Health {
    /// Its name in [`Shared`](super::component::Shared).
    pub const NAME: &'static str = "pipeline::health";

    /// Says which pipelines there are, how each is, and which components it is made of: their troubles are its troubles.
    pub fn set(&self, pipelines: impl IntoIterator<Item = (String, State, Vec<String>)>) {
        let pipelines = pipelines.into_iter().map(|(id, state, parts)| (id, Pipeline { state, parts })).collect();
        self.known().pipelines = pipelines;
    }

    /// Says that `component` has broken down and does not come back by itself.
    pub fn failed(&self, component: &str, why: String) {
        self.known().failures.insert(component.to_owned(), why);
    }

    /// All components that have broken down, whether in a pipeline or not, and why.
    pub fn failures(&self) -> BTreeMap<String, String> {
        self.known().failures.clone()
    }

    /// Forgets what was said of `component`: another takes its place.
    pub fn replaced(&self, component: &str) {
        let mut known = self.known();
        known.failures.retain(|name, _| !is_of(name, component));
        known.troubles.retain(|name, _| !is_of(name, component));
    }

    /// Says what is wrong with `component`, such as `exporter otlp_grpc/tempo`; `None`: nothing any more.
    pub fn trouble(&self, component: &str, trouble: Option<String>) {
        let mut known = self.known();
        match trouble {
            Some(trouble) => known.troubles.insert(component.to_owned(), trouble),
            None => known.troubles.remove(component),
        };
    }

    /// Says which extensions run.
    pub fn started(&self, extensions: Vec<String>) {
        self.known().extensions = extensions;
    }

    /// Which extensions run.
    pub fn extensions(&self) -> Vec<String> {
        self.known().extensions.clone()
    }

    /// What every pipeline is made of.
    pub fn pipelines(&self) -> Vec<(String, Vec<String>)> {
        self.known().pipelines.iter().map(|(id, pipeline)| (id.clone(), pipeline.parts.clone())).collect()
    }

    /// How every pipeline is now.
    pub fn states(&self) -> BTreeMap<String, State> {
        let known = self.known();
        let state = |pipeline: &Pipeline| match &pipeline.state {
            State::Ready => known.unwell(&pipeline.parts).unwrap_or(State::Ready),
            state => state.clone(),
        };
        known.pipelines.iter().map(|(id, pipeline)| (id.clone(), state(pipeline))).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn unwell(&self, parts: &[String]) -> Option<State> {
        let said = |of: &BTreeMap<String, String>| {
            let said: Vec<String> = parts.iter().flat_map(|part| said_of(part, of)).collect();
            Some(said.join("; ")).filter(|said| !said.is_empty())
        };
        said(&self.failures).map(State::Failed).or_else(|| said(&self.troubles).map(State::Degraded))
    }
}

/// What is said of a component, and of its parts, which are called `component[part]`.
fn said_of(component: &str, of: &BTreeMap<String, String>) -> Vec<String> {
    let said = of.range(component.to_owned()..).take_while(|(name, _)| name.starts_with(component));
    said.filter(|(name, _)| is_of(name, component)).map(|(name, said)| format!("{name}: {said}")).collect()
}

fn is_of(name: &str, component: &str) -> bool {
    name.strip_prefix(component).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(health: &Health) -> Vec<State> {
        health.states().into_values().collect()
    }

    #[test]
    fn a_component_in_trouble_degrades_the_pipelines_made_of_it_until_it_recovers() {
        let health = Health::default();
        let exporter = "exporter otlp_grpc".to_owned();
        let pipeline = |id: &str, parts| (id.to_owned(), State::Ready, parts);
        health.set([pipeline("logs", vec![]), pipeline("traces", vec![exporter.clone()])]);
        health.trouble(&exporter, Some("connection refused".to_owned()));
        let degraded = State::Degraded("exporter otlp_grpc: connection refused".to_owned());
        assert_eq!(states(&health), [State::Ready, degraded]);
        health.trouble(&exporter, None);
        assert_eq!(states(&health), [State::Ready, State::Ready]);
    }

    #[test]
    fn a_component_that_broke_down_fails_its_pipelines_until_it_is_replaced() {
        let health = Health::default();
        let batch = "processor batch".to_owned();
        health.set([("logs".to_owned(), State::Ready, vec![batch.clone(), "exporter debug".to_owned()])]);
        health.failed(&batch, "it panicked".to_owned());
        health.trouble("exporter debug", Some("disk full".to_owned()));
        assert_eq!(states(&health), [State::Failed("processor batch: it panicked".to_owned())]);
        health.replaced(&batch);
        assert_eq!(states(&health), [State::Degraded("exporter debug: disk full".to_owned())]);
    }
}
