//! A desk for one test: a directory, the program, and foreign tools.
//!
//! Invariant: a missing tool fails the test with the name of the package that has it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_vmimage");

/// A document that is as short as can be.
pub(crate) const HELLO: &str = "\
apiVersion: vmimage.dev/v1alpha1
kind: VMImage
metadata: {name: hello}
spec:
  boot:
    sector: {message: \"Hello from a test\"}
";

/// The document HELLO with other lines below `spec:`.
pub(crate) fn document(spec: &str) -> String {
    format!(
        "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: hello}}\nspec:\n{spec}"
    )
}

/// A directory of its own for one test.
pub(crate) struct Desk(TempDir);

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A desk with HELLO as hello.yaml.
    pub(crate) fn with_hello() -> Self {
        let desk = Self::new();
        desk.write("hello.yaml", HELLO);
        desk
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root()).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The program with these arguments, in this directory, without the caller's surroundings.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        self.at_home(&mut command);
        command
    }

    /// Another program in this directory.
    pub(crate) fn at_home(&self, command: &mut Command) {
        command.current_dir(self.root()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    pub(crate) fn run_with_input<S: AsRef<OsStr>>(&self, arguments: &[S], input: &str) -> Ran {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Asserts success and returns standard output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// Asserts this exit code and returns standard error.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.err
    }
}

/// Runs a foreign tool and returns what it printed.
#[track_caller]
pub(crate) fn tool(package: &str, program: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; apt-get install {package}"));
    let ran = Ran::from(output);
    assert_eq!(ran.code, Some(0), "{program} {arguments:?}: {ran:#?}");
    ran.out
}

/// The SHA-256 of a file by coreutils, as documents write it.
#[track_caller]
pub(crate) fn sha256sum(path: &Path) -> String {
    let out = tool("coreutils", "sha256sum", &[path.as_os_str()]);
    format!("sha256:{}", out.split_whitespace().next().unwrap().trim_start_matches('\\'))
}

/// Waits until `ready`, at most a minute; fails if the child ends before.
#[track_caller]
pub(crate) fn wait_until(child: &mut Child, what: &str, ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert_eq!(child.try_wait().unwrap(), None, "ended before {what}");
        assert!(start.elapsed() < Duration::from_secs(60), "no {what} after a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal.
#[track_caller]
pub(crate) fn signal(child: &Child, name: &str) {
    let (flag, id) = (format!("-{name}"), child.id().to_string());
    tool("procps", "/bin/kill", &[flag.as_ref(), id.as_ref()]);
}
