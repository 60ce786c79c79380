//! `GET /metrics`, on `localhost:8888` unless configured otherwise.

use std::time::Instant;

use axum::{Router, http::header, routing::get};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::MetricsTelemetry,
    pipeline::{
        Boxed,
        component::{Running, StartError},
    },
    telemetry::{Metrics, refresh_process},
};

struct Endpoint {
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Running for Endpoint {
    fn stop(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            self.cancel.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        })
    }
}

/// Serves the metrics, unless they are switched off.
pub async fn serve(config: &MetricsTelemetry, metrics: &Metrics) -> Result<Option<Box<dyn Running>>, StartError> {
    let Some(address) = config.listen() else { return Ok(None) };
    let failed = |error: std::io::Error| StartError {
        component: "service::telemetry::metrics".to_owned(),
        reason: format!(
            "cannot listen on {address}: {error}; is another process using the port? Change `address`, or set `level: none`"
        ),
    };
    let listener = TcpListener::bind(address.to_string()).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tracing::info!(component = "metrics", protocol = "http", endpoint = %bound, "listening");
    let (metrics, started) = (metrics.clone(), Instant::now());
    let render = move || async move {
        refresh_process(&metrics, started);
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
    };
    let router = Router::new().route("/metrics", get(render));
    let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
    let stopped = cancel.clone().cancelled_owned();
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            tracing::warn!(%error, "own metrics are no longer served");
        }
    });
    Ok(Some(Box::new(Endpoint { cancel, tasks })))
}
