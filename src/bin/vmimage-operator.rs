//! The controller program: flags to settings, signals to shutdown.
//!
//! Does not reconcile. Invariant: a flag that cannot be understood ends the program before it talks
//! to the apiserver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use vmimage::controller::{self, BootAssets, ClaimRules, Config};
use vmimage::engine::bootloader::assets::{Assets, Set};
use vmimage::metrics::Metrics;
use vmimage::telemetry;
use vmimage::units::{ByteSize, parse_size};

/// Builds VMImages in pods and publishes them to volumes.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Image of the build pods; it holds the program /vmimage
    #[arg(long, env = "VMIMAGE_BUILDER_IMAGE")]
    builder_image: String,

    /// Pull policy of the build pods' image
    #[arg(long, env = "VMIMAGE_IMAGE_PULL_POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: String,

    /// ServiceAccount of build pods whose document names none [default: the namespace's default]
    #[arg(long, env = "VMIMAGE_BUILD_SERVICE_ACCOUNT")]
    build_service_account: Option<String>,

    /// Namespaces to watch, separated by commas [default: all]
    #[arg(long, env = "VMIMAGE_WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,

    /// Address of /healthz, /readyz and /metrics
    #[arg(long, env = "VMIMAGE_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,

    /// Images reconciled at once
    #[arg(long, env = "VMIMAGE_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,

    /// Part of a Filesystem volume that its filesystem takes for itself
    #[arg(long, env = "VMIMAGE_FILESYSTEM_OVERHEAD", default_value = "0.06", value_parser = overhead)]
    filesystem_overhead: u32,

    /// Overhead of StorageClasses that need more, as CLASS=0.1,…
    #[arg(long, env = "VMIMAGE_CLASS_OVERHEAD", value_delimiter = ',', value_parser = class_overhead)]
    class_overhead: Vec<(String, u32)>,

    /// Smallest request by StorageClass, as CLASS=8Mi,…; `*` stands for every class
    #[arg(long, env = "VMIMAGE_CLASS_MINIMUM", value_delimiter = ',', value_parser = class_minimum)]
    class_minimum: Vec<(String, ByteSize)>,

    #[command(flatten)]
    sources: SourceFlags,

    /// Run the scripts of documents in namespaces labelled vmimage.dev/allow-scripts=true
    #[arg(long, env = "VMIMAGE_ALLOW_SCRIPTS")]
    allow_scripts: bool,

    /// Leave KubeVirt and CDI alone: no DataVolumes, no DataSources, no look at who uses old volumes
    #[arg(long, env = "VMIMAGE_NO_KUBEVIRT")]
    no_kubevirt: bool,

    /// How log lines look
    #[arg(long, env = "VMIMAGE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// What is logged, as RUST_LOG has it
    #[arg(long, env = "VMIMAGE_LOG_LEVEL", default_value = "info")]
    log_level: String,
}

/// What is passed to build pods, which judge it (`vmimage builder --help`).
#[derive(Debug, clap::Args)]
struct SourceFlags {
    /// Hosts that sources may lie on although their names or addresses are private, by commas
    #[arg(long, env = "VMIMAGE_ALLOW_SOURCE_HOST", value_delimiter = ',')]
    allow_source_host: Vec<String>,

    /// Addresses that sources may have although they are private, such as 10.1.0.0/16, by commas
    #[arg(long, env = "VMIMAGE_ALLOW_SOURCE_CIDR", value_delimiter = ',')]
    allow_source_cidr: Vec<String>,

    /// Addresses that sources may never have, by commas
    #[arg(long, env = "VMIMAGE_DENY_SOURCE_CIDR", value_delimiter = ',')]
    deny_source_cidr: Vec<String>,

    /// Let sources be fetched over http without encryption
    #[arg(long, env = "VMIMAGE_ALLOW_SOURCE_HTTP")]
    allow_source_http: bool,

    /// HTTP proxy that build pods fetch through
    #[arg(long, env = "VMIMAGE_SOURCE_PROXY")]
    source_proxy: Option<String>,

    /// Names and addresses that are asked without that proxy, by commas
    #[arg(long, env = "VMIMAGE_SOURCE_NO_PROXY")]
    source_no_proxy: Option<String>,
}

impl SourceFlags {
    /// The same flags for a build pod.
    fn pass_on(self) -> Vec<String> {
        let given = |text: &String| !text.is_empty();
        let list = |name, values: Vec<String>| {
            values.into_iter().filter(given).map(move |value| format!("--{name}={value}"))
        };
        let one = |name, value: Option<String>| list(name, value.into_iter().collect());
        let proxy: Vec<String> = one("source-proxy", self.source_proxy).collect();
        let exceptions = one("source-no-proxy", self.source_no_proxy).filter(|_| !proxy.is_empty());
        list("allow-source-host", self.allow_source_host)
            .chain(list("allow-source-cidr", self.allow_source_cidr))
            .chain(list("deny-source-cidr", self.deny_source_cidr))
            .chain(self.allow_source_http.then(|| "--allow-source-http".to_owned()))
            .chain(exceptions)
            .chain(proxy.clone())
            .collect()
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// `0.06` as millionths: at most six decimals, below 1.
fn overhead(text: &str) -> Result<u32, String> {
    let wrong =
        || format!("{text:?} is not a fraction below 1 with at most six decimals, such as 0.06");
    let decimals = match text.split_once('.') {
        Some(("0" | "", decimals)) => decimals,
        None if text == "0" => "0",
        _ => return Err(wrong()),
    };
    let digits = (1..=6).contains(&decimals.len()) && decimals.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(wrong());
    }
    format!("{decimals:0<6}").parse().map_err(|_| wrong())
}

fn class_overhead(text: &str) -> Result<(String, u32), String> {
    let (class, value) = pair(text)?;
    Ok((class, overhead(value)?))
}

fn class_minimum(text: &str) -> Result<(String, ByteSize), String> {
    let (class, value) = pair(text)?;
    Ok((class, parse_size(value).map_err(|e| e.to_string())?))
}

fn pair(text: &str) -> Result<(String, &str), String> {
    match text.split_once('=') {
        Some((class, value)) if !class.is_empty() => Ok((class.to_owned(), value)),
        _ => Err(format!("{text:?} is not of the form CLASS=VALUE")),
    }
}

impl From<Flags> for Config {
    fn from(flags: Flags) -> Self {
        let Flags {
            builder_image,
            image_pull_policy,
            build_service_account,
            watch_namespaces,
            listen,
            concurrency,
            filesystem_overhead,
            class_overhead,
            class_minimum,
            sources,
            allow_scripts,
            no_kubevirt,
            log_format: _,
            log_level: _,
        } = flags;
        let given = |name: &String| !name.is_empty();
        Self {
            builder_image,
            image_pull_policy,
            build_service_account: build_service_account.filter(given),
            namespaces: watch_namespaces.into_iter().filter(given).collect(),
            listen,
            concurrency,
            source_flags: sources.pass_on(),
            boot_assets: BTreeMap::new(),
            allow_scripts,
            kubevirt: !no_kubevirt,
            claims: ClaimRules {
                overhead: filesystem_overhead,
                class_overhead: class_overhead.into_iter().collect::<BTreeMap<_, _>>(),
                class_minimum: class_minimum.into_iter().collect(),
            },
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let form = match flags.log_format {
        LogFormat::Text => telemetry::Form::Text,
        LogFormat::Json => telemetry::Form::Json,
    };
    match telemetry::start(form, &flags.log_level).and(Ok(())) {
        Ok(()) => match run(flags).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let cause = error.source().map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "the controller ends");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            telemetry::last_words(&format!("--log-level: {error}"));
            ExitCode::from(2)
        }
    }
}

/// The boot assets in this program's image, which build pods run, too.
fn boot_assets() -> Result<BTreeMap<String, BootAssets>, vmimage::engine::base::Error> {
    let entry = |(set, digest): (Set, Option<String>)| {
        let packages = set.packages().to_owned();
        (set.name().to_owned(), BootAssets { digest, packages })
    };
    Ok(Assets::default().digests()?.into_iter().map(entry).collect())
}

/// Turns true when the program is asked to end. It comes before all work: a container's first process
/// that does not listen yet is deaf to the signal, and is killed when its grace ends.
fn stopping() -> std::io::Result<watch::Receiver<bool>> {
    let (stop, stopping) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: runs under way are finished first");
        // Nobody listens any more only when the program has ended already.
        let _ = stop.send(true);
        std::future::pending::<()>().await;
    });
    Ok(stopping)
}

async fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error>> {
    let stopping = stopping()?;
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, "starting");
    let boot_assets = boot_assets()?;
    let missing = boot_assets.iter().filter(|(_, assets)| assets.digest.is_none());
    let missing: Vec<&str> = missing.map(|(set, _)| set.as_str()).collect();
    tracing::info!(?missing, "boot assets of this image are known");
    let config = Config { boot_assets, ..flags.into() };
    tracing::info!(builder = config.builder_image, namespaces = ?config.namespaces, "the controller begins");
    let client = kube::Client::try_default().await?;
    controller::run(client, config, Arc::new(Metrics::new(version)?), stopping).await?;
    tracing::info!("stopped");
    Ok(())
}
