//! The controller: brings what is in the cluster to what VMImages ask for.
//!
//! ```text
//!  watches ──▶ queue ──▶ reconcile: validate ▶ dereference ▶ decide ▶ compose ▶ apply ▶ status
//!                                     pure        I/O in       pure     pure     I/O out
//! ```
//!
//! Does not build images: a pod does. Invariant: everything that a run needs is seen, nothing is
//! remembered; whoever kills this program at any moment changes only how long it takes.

mod apply;
mod carry;
mod cdi;
mod compose;
mod config;
mod context;
mod decide;
mod dereference;
mod http;
mod inputs;
mod looking;
mod observe;
mod reason;
mod reconcile;
mod run;
mod scripts;
mod status;
mod tags;
#[cfg(test)]
mod testing;
mod validate;

use std::sync::Arc;

use futures::future::join_all;
use kube::api::{Api, ListParams};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use config::{ANY_CLASS, BootAssets, ClaimRules, Config};

use self::http::{Shown, serve};
use self::run::{Scope, scope};
use crate::api::Image;
use crate::metrics::Metrics;

/// Why the controller could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The apiserver does not answer.
    #[error("the apiserver does not answer")]
    Unreachable(#[source] kube::Error),
    /// The CRD is not installed.
    #[error(
        "the CustomResourceDefinition vmimages.vmimage.dev is not installed, or may not be listed; install it from crds/ or with the chart"
    )]
    NoDefinition(#[source] kube::Error),
    /// The server for metrics and probes could not start.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A watch ended although nobody asked for it.
    #[error("a watch ended for good")]
    WatchEnded,
}

/// Runs until `stop` turns true.
pub async fn run(
    client: kube::Client,
    config: Config,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let config = Arc::new(config);
    let mut told = stop.clone();
    tokio::select! {
        there = definition_is_there(&client, &config) => there?,
        // An error means that the sender is gone: the program is ending.
        _ = told.wait_for(|stop| *stop) => return Ok(()),
    }
    let address = config.listen;
    let listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let scopes = scopes(&client, &config, &metrics, &stop);
    let caches: Vec<_> = scopes.iter().map(|scope| scope.caches.clone()).collect();

    let server = tokio::spawn(serve(listener, Shown { metrics, caches }, stop.clone()));
    join_all(scopes.into_iter().map(Scope::run)).await;
    if !*stop.borrow() {
        server.abort();
        return Err(Error::WatchEnded);
    }
    match server.await {
        Ok(Err(source)) => Err(listen(source)),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

/// Fails with a clear message if images cannot be listed, rather than retrying for ever.
async fn definition_is_there(client: &kube::Client, config: &Config) -> Result<(), Error> {
    client.apiserver_version().await.map_err(Error::Unreachable)?;
    let images: Api<Image> = match config.namespaces.first() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    images.list(&ListParams::default().limit(1)).await.map(drop).map_err(Error::NoDefinition)
}

fn scopes(
    client: &kube::Client,
    config: &Arc<Config>,
    metrics: &Arc<Metrics>,
    stop: &watch::Receiver<bool>,
) -> Vec<Scope> {
    let make = |namespace| scope(client, namespace, config, metrics, stop.clone());
    if config.namespaces.is_empty() {
        return vec![make(None)];
    }
    config.namespaces.iter().map(|namespace| make(Some(namespace))).collect()
}
