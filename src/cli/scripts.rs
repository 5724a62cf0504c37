//! Scripts of documents on the desk: whether they run, in which images, and what is said of them.
//!
//! Enters no namespace itself. Invariants: without `--allow-scripts` nothing runs; what scripts had
//! is removed with the build, however it ends short of a kill.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;

use super::args::Stage;
use super::excerpt::visible;
use super::interrupt::Interrupt;
use super::output::{self, Output};
use crate::builder::chain;
use crate::engine;
use crate::engine::base::{Error, Kind};
use crate::engine::scripts::Runner;
use crate::engine::stage::{self, Layout};
use crate::manifest::types::Script;
use crate::oci::{Credentials, DockerConfig, Reference};
use crate::sandbox::{self, BROKEN, Ended, Images, Job, Watch};
use crate::sources::Sources;

/// Processes that a script may have at a time.
const PROCESSES: u64 = 256;
/// Tells the directories of one process apart.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// What becomes of scripts.
#[derive(Clone, Debug)]
pub(super) enum Scripts {
    /// They are not allowed.
    Refused,
    /// They are not run, and all else is looked at.
    LeftOut,
    /// They run.
    Allowed(Allowed),
}

/// How they run.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    /// Image layouts.
    pub(super) images: Vec<PathBuf>,
    /// The wish to stop.
    pub(super) interrupt: Interrupt,
    /// Takes what they print.
    pub(super) output: Output,
}

/// The directory of one build.
#[derive(Debug)]
pub(super) struct Place(PathBuf);

/// Runs the scripts of one build.
pub(super) struct Desk<'a> {
    allowed: &'a Allowed,
    sources: &'a Sources,
    place: &'a Path,
    /// The directories of images by name.
    roots: RefCell<BTreeMap<String, PathBuf>>,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Place {
    /// A new one in the directory for temporary files.
    pub(super) fn new(scratch: &Path) -> Result<Self, Error> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = scratch.join(format!(".vmimage.{}.{number}.scripts", std::process::id()));
        let context = |e| Error::io(format!("making the directory {}", path.display()), e);
        // Whoever scripts run as must get through.
        std::fs::DirBuilder::new().mode(0o711).create(&path).map_err(context)?;
        let place = Self(path);
        fs::create_dir(place.staged()).map_err(|e| {
            Error::io(format!("making the directory {}", place.staged().display()), e)
        })?;
        Ok(place)
    }

    /// Where the trees lie.
    pub(super) fn staged(&self) -> PathBuf {
        self.0.join("staged")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        sandbox::clear(&self.0);
    }
}

impl<'a> Desk<'a> {
    pub(super) fn new(allowed: &'a Allowed, sources: &'a Sources, place: &'a Place) -> Self {
        Self { allowed, sources, place: &place.0, roots: RefCell::default() }
    }

    /// The directory with the files of an image.
    fn root(&self, name: &str) -> Result<PathBuf, Error> {
        if let Some(path) = self.roots.borrow().get(name) {
            return Ok(path.clone());
        }
        let images = Images {
            layouts: &self.allowed.images,
            client: &self.sources.client,
            credentials: &credentials,
            scratch: &self.sources.scratch,
        };
        let tree = sandbox::image_tree(name, &images)?;
        let path = self.place.join(format!("image{}", self.roots.borrow().len()));
        let context = |e| Error::io(format!("making the directory {}", path.display()), e);
        fs::create_dir(&path).map_err(context)?;
        let layout = Layout { budget: self.sources.scratch.left(), owner: self.owner() };
        stage::write(&tree, &path, layout)?;
        self.roots.borrow_mut().insert(name.to_owned(), path.clone());
        Ok(path)
    }
}

/// What the user's docker configuration says about a registry.
fn credentials(reference: &Reference) -> Result<Option<Credentials>, Error> {
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    let Some(path) = directory.or_else(home).map(|path| path.join("config.json")) else {
        return Ok(None);
    };
    if !path.is_file() {
        return Ok(None);
    }
    let shown = path.display().to_string();
    let text = fs::read(&path).map_err(|e| Error::io(format!("reading {shown}"), e))?;
    DockerConfig::parse(&text, &shown)?.credentials(reference)
}

impl Runner for Desk<'_> {
    fn run(&self, script: &Script, tree: &Path) -> Result<(), Error> {
        let job = Job {
            root: self.root(&script.image)?,
            tree: tree.to_owned(),
            shell: script.shell.to_string(),
            text: script.text.clone(),
            env: script.env.clone(),
            seconds: u64::from(script.timeout_seconds.0),
            budget: self.sources.scratch.left(),
            owner: self.owner(),
            processes: PROCESSES,
        };
        let failed = |why: String| Err(Error::new(Kind::Document, why));
        match sandbox::run(&job, &Shown(self.allowed))? {
            Ended::Code(0) => Ok(()),
            Ended::Code(code) => failed(format!("the script ended with exit code {code}")),
            Ended::Signal(signal) => failed(format!("the script was ended by signal {signal}")),
            Ended::Timeout => {
                failed(format!("the script ran for more than {} seconds", job.seconds))
            }
            Ended::TooMuch => {
                let message = format!(
                    "the script wrote more than the {} bytes that temporary files may have",
                    job.budget
                );
                Err(Error::new(Kind::NoSpace, message))
            }
            Ended::Stopped => self.allowed.interrupt.check(),
        }
    }

    fn owner(&self) -> Option<(u32, u32)> {
        sandbox::unprivileged()
    }
}

/// What a thread that reads a script's output may use.
#[derive(Debug)]
struct Shown<'a>(&'a Allowed);

impl Watch for Shown<'_> {
    fn line(&self, text: &str) {
        let text: String = text.chars().map(visible).collect();
        self.0.output.say(&format!("script: {text}"));
    }

    fn stopped(&self) -> bool {
        self.0.interrupt.asked()
    }
}

/// Runs one of the processes that a sandbox consists of; returns its exit code.
pub(super) fn sandbox(stage: Stage) -> u8 {
    let ended = match stage {
        Stage::Outer => sandbox::outer(),
        Stage::Inner => sandbox::inner().map(|never| match never {}),
    };
    let (line, code) = match ended {
        Ok(line) => (line, 0),
        Err(error) => (format!("failed {}", chain(&error).replace('\n', " ")), BROKEN),
    };
    match output::builder_data(&line) {
        Ok(()) => code,
        Err(_) => BROKEN,
    }
}

impl Scripts {
    /// What the engine is told, where nothing runs.
    pub(super) const fn idle(&self) -> engine::Scripts<'static> {
        match self {
            Self::LeftOut => engine::Scripts::LeftOut,
            Self::Refused | Self::Allowed(_) => engine::Scripts::Refused,
        }
    }

    /// How they run, if they do.
    pub(super) const fn allowed(&self) -> Option<&Allowed> {
        match self {
            Self::Allowed(allowed) => Some(allowed),
            Self::Refused | Self::LeftOut => None,
        }
    }
}
