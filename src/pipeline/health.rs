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
    /// Hands on what it holds; takes nothing new.
    Stopping,
}

impl State {
    /// `starting`, `ready`, `degraded` or `stopping`.
    pub const fn name(&self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Degraded(_) => "degraded",
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
    extensions: Vec<String>,
}

#[derive(Debug)]
struct Pipeline {
    state: State,
    components: Vec<String>,
}

impl Health {
    /// Its name in [`Shared`](super::component::Shared).
    pub const NAME: &'static str = "pipeline::health";

    /// Says how `pipeline` is now.
    pub fn set(&self, pipeline: &str, state: State) {
        let mut known = self.known();
        match known.pipelines.get_mut(pipeline) {
            Some(pipeline) => pipeline.state = state,
            None => {
                known.pipelines.insert(pipeline.to_owned(), Pipeline { state, components: Vec::new() });
            }
        }
    }

    /// Says which components `pipeline` is made of: their troubles are its troubles.
    pub fn made_of(&self, pipeline: &str, components: Vec<String>) {
        if let Some(pipeline) = self.known().pipelines.get_mut(pipeline) {
            pipeline.components = components;
        }
    }

    /// Says what is wrong with `component`, such as `exporter otlp_grpc/tempo`; `None`: nothing any more.
    pub fn trouble(&self, component: &str, trouble: Option<String>) {
        let mut known = self.known();
        match trouble {
            Some(trouble) => known.troubles.insert(component.to_owned(), trouble),
            None => known.troubles.remove(component),
        };
    }

    /// Forgets all pipelines.
    pub fn clear(&self) {
        self.known().pipelines.clear();
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
        self.known().pipelines.iter().map(|(id, pipeline)| (id.clone(), pipeline.components.clone())).collect()
    }

    /// How every pipeline is now.
    pub fn states(&self) -> BTreeMap<String, State> {
        let known = self.known();
        let state = |pipeline: &Pipeline| match &pipeline.state {
            State::Ready => known.degraded(&pipeline.components).unwrap_or(State::Ready),
            state => state.clone(),
        };
        known.pipelines.iter().map(|(id, pipeline)| (id.clone(), state(pipeline))).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Its own, and those of its parts, which are called `component[part]`.
    fn troubles_of(&self, component: &str) -> Vec<String> {
        let begins =
            |name: &str| name.strip_prefix(component).is_some_and(|rest| rest.is_empty() || rest.starts_with('['));
        let troubles = self.troubles.range(component.to_owned()..).take_while(|(name, _)| name.starts_with(component));
        troubles.filter(|(name, _)| begins(name)).map(|(name, trouble)| format!("{name}: {trouble}")).collect()
    }

    fn degraded(&self, components: &[String]) -> Option<State> {
        let troubles: Vec<String> = components.iter().flat_map(|component| self.troubles_of(component)).collect();
        (!troubles.is_empty()).then(|| State::Degraded(troubles.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_in_trouble_degrades_the_pipelines_made_of_it_until_it_recovers() {
        let health = Health::default();
        for pipeline in ["traces", "logs"] {
            health.set(pipeline, State::Ready);
        }
        health.made_of("traces", vec!["exporter otlp_grpc".to_owned()]);
        health.trouble("exporter otlp_grpc", Some("connection refused".to_owned()));
        let degraded = State::Degraded("exporter otlp_grpc: connection refused".to_owned());
        assert_eq!(health.states().into_values().collect::<Vec<_>>(), [State::Ready, degraded]);
        health.trouble("exporter otlp_grpc", None);
        assert!(health.states().into_values().all(|state| state == State::Ready));
    }
}
