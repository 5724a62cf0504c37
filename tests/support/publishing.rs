//! Media to publish, and what happens to a process that publishes them.
//!
//! Publishes nothing. Invariant: digests are those of coreutils.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vmimage::engine::base::{self, ByteSource, Progress, SectorSource};

use super::tool;

pub(crate) const MIB: u64 = 1 << 20;
/// What tells a test program that it is the victim, and where it publishes.
const VICTIM: &str = "VMIMAGE_TEST_VICTIM";

/// `count` bytes of which none is zero and no unit is like another.
pub(crate) fn dense(count: u64) -> Arc<dyn SectorSource> {
    let byte = |at: u64| u8::try_from((at ^ (at >> 12)) % 255 + 1).unwrap();
    Arc::new(ByteSource::new((0..count).map(byte).collect::<Vec<u8>>()))
}

/// The digest of a file by coreutils.
pub(crate) fn sha256sum(file: &Path) -> String {
    let line = tool::run("coreutils", "sha256sum", &[file.to_str().unwrap()]);
    format!("sha256:{}", line.split(' ').next().unwrap())
}

/// Does something once, when more than `after` bytes are done.
pub(crate) struct At<F> {
    after: u64,
    act: F,
    done: AtomicU64,
}

impl<F> At<F> {
    pub(crate) fn new(after: u64, act: F) -> Self {
        Self { after, act, done: AtomicU64::new(0) }
    }
}

impl<F> std::fmt::Debug for At<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "At({})", self.after)
    }
}

impl<F: Fn() -> Result<(), base::Error> + Send + Sync> Progress for At<F> {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, bytes: u64) -> Result<(), base::Error> {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        if (before..before + bytes).contains(&self.after) { (self.act)() } else { Ok(()) }
    }
}

/// One dot for each step, slowly.
#[derive(Debug)]
pub(crate) struct Dots;

impl Progress for Dots {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, bytes: u64) -> Result<(), base::Error> {
        if bytes > 0 {
            std::io::stderr().write_all(b".").unwrap();
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }
}

/// Where this process is to publish, if it is the victim of `killed`.
pub(crate) fn victim() -> Option<std::path::PathBuf> {
    std::env::var_os(VICTIM).map(Into::into)
}

/// Runs the test `name` once more, as the victim that publishes into `place` and tells each step by
/// a dot, and kills it after that many dots: a real kill, with no chance to clean up.
pub(crate) fn killed(name: &str, place: &Path, dots: u64) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(VICTIM, place)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = victim.stderr.take().unwrap().take(dots).read_to_end(&mut Vec::new()).unwrap();
    assert!(told > 0, "the victim did nothing");
    victim.kill().unwrap();
    victim.wait().unwrap();
}
