//! `GET /metrics`. A reload that changes an exporter hands its listener on to the new one, so that no scrape is missed. It
//! shows what the last exporter that took something has: a reload that fails in the end changes nothing.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Shelf;
use crate::{
    config::Endpoint,
    pipeline::component::{Context, StartError},
};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens until it is dropped.
pub struct Listener {
    pub(super) shelf: ArcSwap<Shelf>,
    stop: CancellationToken,
}

/// The listener of an exporter at an endpoint, if there is one.
type Known = Mutex<Weak<Listener>>;

impl Listener {
    /// The component's listener at `endpoint`; a new one begins by showing `shelf`.
    pub fn at(endpoint: &Endpoint, shelf: &Arc<Shelf>, context: &Context) -> Result<Arc<Self>, StartError> {
        let name = format!("exporters::prometheus::{endpoint} of {}", context.component);
        let known = context.shared.get::<Known>(&name);
        let running = known.and_then(|known| known.lock().unwrap_or_else(PoisonError::into_inner).upgrade());
        if let Some(listener) = running {
            return Ok(listener);
        }
        let host = if endpoint.host.is_empty() { "0.0.0.0" } else { &endpoint.host };
        let failed = |error: std::io::Error| {
            context.error(format!("cannot listen on {endpoint}: {error}; is another process using it?"))
        };
        let socket = std::net::TcpListener::bind((host, endpoint.port)).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let socket = TcpListener::from_std(socket).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        tracing::info!(component = context.component, protocol = "http", endpoint = %bound, "listening");
        let listener = Arc::new(Self { shelf: ArcSwap::new(shelf.clone()), stop: CancellationToken::new() });
        let shown = Arc::downgrade(&listener);
        context.shared.put(&name, Arc::new(Known::new(shown.clone())));
        let answer = move |headers: HeaderMap| {
            let answer = match shown.upgrade() {
                Some(listener) => listener.answer(&headers).into_response(),
                None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            };
            std::future::ready(answer)
        };
        let router = Router::new().route("/metrics", get(answer));
        let stopped = listener.stop.clone().cancelled_owned();
        let serving = async move { axum::serve(socket, router).with_graceful_shutdown(stopped).await };
        tokio::spawn(context.watch(async { serving.await.map_err(|error| error.to_string()) }));
        Ok(listener)
    }

    /// Shows `shelf` from now on.
    pub fn show(&self, latest: &Arc<Shelf>) {
        if !Arc::ptr_eq(&self.shelf.load(), latest) {
            self.shelf.store(latest.clone());
        }
    }

    fn answer(&self, headers: &HeaderMap) -> impl IntoResponse + use<> {
        let shown = self.shelf.load_full();
        let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let open_metrics = shown.open_metrics && accepted.contains("application/openmetrics-text");
        let kind = if open_metrics { OPEN_METRICS } else { TEXT };
        ([(header::CONTENT_TYPE, kind)], shown.render(open_metrics))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
