//! A small HTTP server for people and probes, the same for every extension that has pages.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Endpoint,
    pipeline::{
        Boxed,
        component::{Context, Running, StartError},
    },
};

/// The server, until it is stopped.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Serves `router` at `endpoint` until `cancel` is cancelled or the server is stopped.
pub async fn serve(
    endpoint: &Endpoint,
    router: Router,
    cancel: CancellationToken,
    context: &Context,
) -> Result<Serving, StartError> {
    let host = if endpoint.host.is_empty() { "0.0.0.0" } else { &endpoint.host };
    let failed = |error: std::io::Error| {
        context.error(format!("cannot listen on {endpoint}: {error}; is another process using it?"))
    };
    let listener = TcpListener::bind((host, endpoint.port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(component = context.component, protocol = "http", endpoint = %address, "listening");
    let tasks = TaskTracker::new();
    let stopped = cancel.clone().cancelled_owned();
    let serving = async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await };
    tasks.spawn(context.watch(async { serving.await.map_err(|error| error.to_string()) }));
    Ok(Serving { address, cancel, tasks })
}

impl Running for Serving {
    fn stop(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            self.cancel.cancel();
            self.tasks.close();
            self.tasks.wait().await;
            tracing::debug!(endpoint = %self.address, "no longer listening");
        })
    }
}
