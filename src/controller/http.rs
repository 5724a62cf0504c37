//! `/healthz`, `/readyz` and `/metrics`.
//!
//! Knows nothing of images. Invariant: `/readyz` answers 200 only once all caches were filled.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::context::Caches;
use super::run::gauge;
use crate::metrics::Metrics;

/// What the server shows.
pub(super) struct Shown {
    pub(super) metrics: Arc<Metrics>,
    pub(super) caches: Vec<Caches>,
}

/// Serves until `stop` turns true.
pub(super) async fn serve(
    listener: TcpListener,
    shown: Shown,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(shown));
    let stopped = async move {
        // An error means that the sender is gone: the program is ending.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await
}

async fn readyz(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    if shown.caches.iter().all(Caches::are_filled) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are being filled\n")
    }
}

async fn metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    gauge(&shown.caches, &shown.metrics);
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], shown.metrics.text())
}
