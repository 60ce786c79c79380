//! Own metrics on their way out: `GET /metrics`, on `localhost:8888` unless configured otherwise, and OTLP.

use std::{path::Path, sync::Mutex};

use axum::{Router, http::header, routing::get};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Endpoint, Prometheus, Telemetry},
    pipeline::{
        Boxed,
        component::{Running, StartError},
    },
    telemetry::{Form, Metrics, PushedMetrics, measure_process},
};

/// Serves and pushes the metrics wherever `telemetry` says.
pub async fn start(telemetry: &Telemetry, base: &Path, metrics: &Metrics) -> Result<Vec<Box<dyn Running>>, StartError> {
    measure_process(metrics);
    let mut running: Vec<Box<dyn Running>> = Vec::new();
    let pushed = PushedMetrics::start(telemetry, base, metrics).map_err(|error| failed(error.to_string()))?;
    if let Some(pushed) = pushed {
        running.push(Box::new(Pushing(Mutex::new(Some(pushed)))));
    }
    for prometheus in telemetry.metrics.pulls() {
        let resource = telemetry.resource().into_iter().collect();
        let detail = telemetry.metrics.level.into();
        let form = Form { detail, total: !prometheus.without_type_suffix, resource };
        running.push(serve(&prometheus, form, metrics).await?);
    }
    Ok(running)
}

fn failed(reason: String) -> StartError {
    StartError { component: "service::telemetry::metrics".to_owned(), reason }
}

async fn serve(prometheus: &Prometheus, form: Form, metrics: &Metrics) -> Result<Box<dyn Running>, StartError> {
    let address = Endpoint { host: prometheus.host.clone(), port: prometheus.port };
    let taken = |error: std::io::Error| {
        failed(format!(
            "cannot listen on {address}: {error}; is another process using the port? Change `address`, or set `level: none`"
        ))
    };
    let listener = TcpListener::bind(address.to_string()).await.map_err(taken)?;
    let bound = listener.local_addr().map_err(taken)?;
    tracing::info!(component = "metrics", protocol = "http", endpoint = %bound, "listening");
    let metrics = metrics.clone();
    let render = move || {
        let text = metrics.render(&form);
        std::future::ready(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
    };
    let router = Router::new().route("/metrics", get(render));
    let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
    let stopped = cancel.clone().cancelled_owned();
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            tracing::warn!(%error, "own metrics are no longer served");
        }
    });
    Ok(Box::new(Serving { cancel, tasks }))
}

struct Serving {
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Running for Serving {
    fn stop(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            self.cancel.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        })
    }
}

struct Pushing(Mutex<Option<PushedMetrics>>);

impl Running for Pushing {
    fn stop(&self) -> Boxed<'_, ()> {
        let pushed = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        Box::pin(async move {
            // The last sending blocks its thread.
            let _ = tokio::task::spawn_blocking(move || pushed.map(PushedMetrics::stop)).await;
        })
    }
}
