//! The process inside the build pod: document → engine → target → report.
//!
//! ```text
//! read ──▶ check ──▶ inputs ──▶ hash ──▶ build ──▶ publish ──▶ digest ──▶ framed manifest, report
//! ```
//!
//! Does not print and handles no signals (see `Host`); knows no Kubernetes client. Needs no home,
//! no temporary directory and no particular user: it writes to the target and to the termination
//! log only. Invariant: however a build ends, by a panic too, there is a report of it.

mod accept;
mod error;
pub mod files;
mod fill;
mod manifest;
mod push;
mod resolve;
mod watch;

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::engine::base::Work;
use crate::engine::base::tree::Time;
use crate::engine::{self, Env, Given, Inputs, Scripts, Seed};
use crate::report::{BuildResult, Code, MANIFEST_FRAME, Report};
use crate::sources::Settings;

pub use error::{Error, chain, code_of};
use files::Ready;
use fill::Filling;
pub use manifest::{Made, build_manifest};
pub use resolve::{Looking, resolve};
use watch::Watch;

/// What one run of the builder is asked to do.
#[derive(Clone, Debug)]
pub struct Params {
    /// The file that holds the document.
    pub document: PathBuf,
    /// Name of the entry of `spec.publish` to serve.
    pub target: String,
    /// Where the target is published.
    pub destination: Destination,
    /// contentHash that the caller computed.
    pub content_hash: String,
    /// targetHash that the caller computed.
    pub target_hash: String,
    /// Digests of boot assets that the caller hashed, by the names of their sets.
    pub boot_assets: Vec<(String, String)>,
    /// How long the run may take.
    pub timeout: Option<Duration>,
    /// Where inputs lie, and which servers may be reached.
    pub sources: Settings,
    /// What becomes of scripts.
    pub scripts: Scripted,
    /// The file that takes the report.
    pub termination_log: PathBuf,
}

/// Where a target is published.
#[derive(Clone, Debug)]
pub enum Destination {
    /// In the root directory of a mounted volume.
    Volume(PathBuf),
    /// On a block device.
    Device(PathBuf),
    /// In a registry, with the credentials and certificates of this directory.
    Registry(PathBuf),
}

/// What becomes of a document's scripts in this run.
#[derive(Clone, Debug, Default)]
pub enum Scripted {
    /// A document that has some is refused.
    #[default]
    Refused,
    /// The trees that they change are laid out in this directory, and nothing else is done.
    Stage(PathBuf),
    /// They have run over what lies there.
    Done(PathBuf),
}

/// The process around the builder: takes its output and tells it to stop.
pub trait Host: Send + Sync + fmt::Debug {
    /// Takes one line of the log.
    fn log(&self, line: &str);

    /// Takes one line of the result.
    fn data(&self, line: &str) -> io::Result<()>;

    /// Whether the process was told to stop.
    fn stopped(&self) -> bool;
}

/// What was built, and where its manifest is.
#[derive(Debug)]
struct Outcome {
    result: BuildResult,
    manifest: String,
}

/// Builds and publishes one target; leaves a report and returns its code.
pub fn run(params: &Params, host: &dyn Host) -> Code {
    let start = Instant::now();
    let watch = Watch::new(host, start, params.timeout);
    let outcome = catch_unwind(AssertUnwindSafe(|| build(params, &watch)))
        .unwrap_or_else(|panic| Err(Error::Panic { message: panic_message(&*panic) }));
    let report = outcome.map(|outcome| match outcome {
        None => Report::staged(),
        Some(Outcome { result, manifest }) => {
            announce(&result, &manifest, &watch);
            Report::success(result)
        }
    });
    leave(report, &params.termination_log, &watch)
}

/// Leaves a report of how it ended, and returns its code.
fn leave(report: Result<Report, Error>, at: &Path, watch: &Watch<'_>) -> Code {
    let report = report.unwrap_or_else(|error| {
        Report::failure(error.code(), &chain(&error), error.field().as_deref())
    });
    watch.log(&match report.message.as_str() {
        "" => "finished".to_owned(),
        message => format!("failed: {}: {message}", report.code.as_str()),
    });
    if let Err(error) = fs::write(at, report.to_text()) {
        watch.log(&format!("no report could be left: {}", chain(&error)));
    }
    report.code
}

/// The stages of a build.
fn build(params: &Params, watch: &Watch<'_>) -> Result<Option<Outcome>, Error> {
    let image = watch.stage("read", || accept::read(&params.document))?;
    let target = accept::target(&image, &params.target)?;
    let filling = Filling::of(target, &params.destination)?;
    let sources = params.sources.open(None)?;
    let time = Time::default();
    let inputs =
        watch.stage("inputs", || Ok(Inputs::resolve_with(&image.spec, &sources, time, watch)?))?;
    let hashes = accept::hashes(&image, target, &inputs, params)?;
    let env = Env {
        scratch: &sources.scratch,
        assets: &sources.assets,
        time,
        work: Work { threads: 0, progress: watch },
        scripts: match &params.scripts {
            Scripted::Done(directory) => Scripts::Done(directory),
            Scripted::Refused | Scripted::Stage(_) => Scripts::Refused,
        },
    };
    let name = &image.metadata.name;
    let seed = Seed::new(name, &hashes.content);
    let given = Given { name, spec: &image.spec, inputs: &inputs, seed };
    if let Scripted::Stage(directory) = &params.scripts {
        watch.stage("stage", || Ok(engine::scripts::stage(&given, &env, directory)?))?;
        return Ok(None);
    }
    let media = watch.stage("build", || Ok(engine::build(&given, &env)?))?;
    let planned = match &target.files {
        Some(_) => engine::files::plan(&image, &hashes.content, &media)?,
        None => Vec::new(),
    };
    let build_millis = watch.millis();
    let ready = Ready {
        image: &image,
        inputs: &inputs,
        content_hash: &hashes.content,
        media: &media,
        files: &planned,
    };
    let filled = filling.run(&ready, params, &sources, watch)?;
    let manifest = to_json(&filled.manifest)?;
    let result = BuildResult {
        content_digest: filled.manifest.content_digest,
        virtual_size: media.main().len(),
        target_digest: filled.published.digest,
        target_size: filled.published.size,
        manifest_digest: crate::manifest::source::digest(manifest.as_bytes()),
        reused: filled.published.reused,
        build_millis,
        publish_millis: watch.millis().saturating_sub(build_millis),
        content_hash: hashes.content,
        target_hash: hashes.target,
    };
    Ok(Some(Outcome { result, manifest }))
}

/// Prints the framed build manifest. What is published stays published without it.
fn announce(result: &BuildResult, manifest: &str, watch: &Watch<'_>) {
    let digest = result.manifest_digest.trim_start_matches("sha256:");
    if let Err(error) = watch.host().data(&format!("{MANIFEST_FRAME} {digest} {manifest}")) {
        watch.log(&format!("the build manifest could not be printed: {}", chain(&error)));
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|e| Error::Panic { message: format!("the build manifest is no JSON: {e}") })
}

/// The message of a caught panic.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process in which everything goes wrong.
    #[derive(Debug)]
    struct Broken;

    impl Host for Broken {
        fn log(&self, _: &str) {}

        fn data(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn stopped(&self) -> bool {
            panic!("the host is {}", "broken")
        }
    }

    #[test]
    fn a_panic_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("termination-log");
        let params = Params {
            document: directory.path().join("none"),
            target: "golden".to_owned(),
            destination: Destination::Volume(directory.path().to_owned()),
            content_hash: String::new(),
            target_hash: String::new(),
            boot_assets: Vec::new(),
            timeout: None,
            sources: Settings {
                boot_assets: Vec::new(),
                cache: None,
                rules: crate::fetch::Rules::default(),
                proxy: None,
                no_proxy: String::new(),
                ca: None,
                docker_config: None,
                root: None,
                mounts: crate::sources::Mounts::default(),
                scratch: directory.path().to_owned(),
                scratch_limit: 0,
                patience: Duration::ZERO,
            },
            scripts: Scripted::Refused,
            termination_log: log.clone(),
        };
        assert_eq!(run(&params, &Broken), Code::Bug);
        let report = Report::parse(&fs::read_to_string(log).unwrap()).unwrap();
        assert_eq!(report.code, Code::Bug);
        assert_eq!(report.message, "the builder has a defect: the host is broken");
    }
}
