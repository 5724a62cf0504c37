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
use vmimage::controller::{self, ClaimRules, Config};
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

    /// How log lines look
    #[arg(long, env = "VMIMAGE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// What is logged, as RUST_LOG has it
    #[arg(long, env = "VMIMAGE_LOG_LEVEL", default_value = "info")]
    log_level: String,
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
        Ok(()) => match run(flags.into()).await {
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

async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, builder = config.builder_image, namespaces = ?config.namespaces, "starting");
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
    let client = kube::Client::try_default().await?;
    controller::run(client, config, Arc::new(Metrics::new(version)?), stopping).await?;
    tracing::info!("stopped");
    Ok(())
}
