//! Builds every example once, as an ordinary user who has nothing but a directory, and keeps the
//! files for the judges.
//!
//! Invariants: the program finds no helper, since PATH is empty; what it asked of the kernel is in a
//! log of strace. A missing tool fails, with the name of its package.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fs_err as fs;
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::tool;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vmimage");
pub(crate) const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// The examples with contents, and the files that each makes.
pub(crate) const BUILT: &[(&str, &[&str])] = &[
    (
        "512-byte-vm",
        &[
            "512-byte-vm.raw",
            "512-byte-vm.qcow2",
            "512-byte-vm.vmdk",
            "512-byte-vm.vdi",
            "512-byte-vm.vhd",
            "512-byte-vm.iso",
        ],
    ),
    ("cidata", &["cidata.iso"]),
    ("debian-debs", &["debian-debs.raw", "debian-debs.vmdk"]),
    ("debian-root", &["debian-root.qcow2"]),
    ("lites", &["lites.raw", "lites.qcow2"]),
    (
        "mksmolnb",
        &[
            "smolnb-ext2.raw",
            "smolnb-ext2.vmlinuz",
            "smolnb-ext2.cmdline",
            "smolnb-ffs.raw",
            "smolnb-ffs.vmlinuz",
            "smolnb-ffs.cmdline",
        ],
    ),
    (
        "slim-direct",
        &["slim-direct.raw", "slim-direct.vmlinuz", "slim-direct.initrd", "slim-direct.cmdline"],
    ),
    ("slim-ext4", &["slim-ext4.raw", "slim-ext4.qcow2"]),
    (
        "slim-initrd",
        &["slim-initrd.raw", "slim-initrd.vmlinuz", "slim-initrd.initrd", "slim-initrd.cmdline"],
    ),
    ("slim-isolinux", &["slim-isolinux.iso"]),
    (
        "slim-uefi",
        &["slim-uefi.raw", "slim-uefi.qcow2", "slim-uefi.vmdk", "slim-uefi.vhd", "slim-uefi.vhdx"],
    ),
    ("smolbsd", &["smolbsd.raw"]),
    ("squashfs", &["squashfs.raw"]),
    ("tinyboot", &["tinyboot.iso"]),
    ("tinyboot-data", &["tinyboot-data.qcow2"]),
];

/// What the kernel is asked that an ordinary build has no need of, and what starts programs.
const TRACED: &str = "execve,execveat,fork,vfork,clone,clone3,mount,umount2,pivot_root,chroot,\
     fsopen,fsmount,move_mount,open_tree,unshare,setns,mknod,mknodat,chown,fchown,lchown,fchownat,\
     setuid,setresuid,ptrace,bpf,init_module,finit_module,openat,openat2,ioctl";

/// The directory in which the user builds, with the inputs in `volume`.
#[derive(Debug)]
pub(crate) struct Desk(TempDir);

/// How a build is run.
pub(crate) struct How<'a> {
    /// The directory for the files.
    pub(crate) out: &'a str,
    pub(crate) threads: &'a str,
    pub(crate) umask: &'a str,
    /// Variables as `env` takes them.
    pub(crate) variables: &'a [&'a str],
    /// Where strace writes, if it watches.
    pub(crate) log: Option<&'a str>,
}

impl Desk {
    /// With the program, the documents and the inputs, all of another user than root.
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        open(desk.0.path(), 0o755);
        fs::copy(PROGRAM, desk.path("vmimage")).unwrap();
        open(&desk.path("vmimage"), 0o755);
        tool::run("coreutils", "cp", &["-rT", EXAMPLES, desk.path("examples").to_str().unwrap()]);
        fs::create_dir(desk.path("home")).unwrap();
        open(&desk.path("home"), 0o777);
        let make = desk.path("examples/inputs/make");
        let volume = desk.path("home/volume");
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        let tmp = format!("TMPDIR={}", desk.path("home").display());
        // Fetched as who we are: the cache is in our home.
        let fetch = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/guest/gnumach");
        fs::copy(tool::run("apt", fetch, &[]).trim(), desk.path("gnumach")).unwrap();
        open(&desk.path("gnumach"), 0o644);
        let mach = format!("GNUMACH={}", desk.path("gnumach").display());
        let mut command = desk.user(&[&path, &tmp, &mach]);
        command.args(["sh", make.to_str().unwrap(), volume.to_str().unwrap()]);
        desk.done(command);
        desk.debian(&volume);
        desk
    }

    /// Debian's kernel and busybox into `volume`, and our init where a user puts it. Fetched and
    /// built as who we are.
    fn debian(&self, volume: &Path) {
        let debian = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
        tool::run("apt", &format!("{EXAMPLES}/inputs/debian"), &[debian.to_str().unwrap()]);
        let init = tool::run("cargo", concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/init/build"), &[]);
        let own = self.path("assets/init");
        fs::create_dir_all(&own).unwrap();
        let names = ["linux.deb", "vmlinuz", "busybox.deb"];
        let inputs = names.map(|name| (debian.join(name), volume.join(name)));
        let init = (PathBuf::from(init.trim()), own.join("vmimage-init.amd64"));
        for (from, to) in inputs.into_iter().chain([init]) {
            fs::copy(from, &to).unwrap();
            open(&to, 0o644);
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of the first builds.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(&format!("home/first/{name}")).to_str().unwrap().to_owned()
    }

    /// A command as an ordinary user with these variables and no others. It becomes one if it is
    /// root.
    fn user(&self, variables: &[&str]) -> Command {
        let mut command = Command::new("env");
        if geteuid().is_root() {
            command = Command::new("setpriv");
            command.args([
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
                "--no-new-privs",
            ]);
            command.args(["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "env"]);
        }
        command.arg("-i").args(variables).current_dir(self.path("home"));
        command.stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn done(&self, mut command: Command) {
        let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    }

    /// Builds an example.
    pub(crate) fn build(&self, example: &str, how: &How<'_>) {
        let tools = std::env::var("PATH").unwrap();
        let mut command = self.user(&[&format!("PATH={tools}")]);
        // The shell and strace are found by PATH, the program finds nothing by it.
        let script = "umask $1; shift; exec \"$@\"";
        command.args(["sh", "-c", script, "sh", how.umask]);
        if let Some(log) = how.log {
            let log = self.path(&format!("home/{log}"));
            command.args(["strace", "-f", "-qq", "-e", &format!("trace={TRACED}")]);
            command.args(["-E", "PATH=", "-o", log.to_str().unwrap()]);
        } else {
            command.args(["env", "PATH="]).args(how.variables);
        }
        command.arg(self.path("vmimage")).args(["build", "--quiet", "--output", how.out]);
        command.args(["--threads", how.threads]);
        command.arg("--file").arg(self.path(&format!("examples/{example}.yaml")));
        let configured = self.path("examples/inputs/cidata");
        command.args(["--configmap", &format!("cidata={}", configured.display())]);
        command.args(["--pvc", "inputs=volume", "--boot-assets", "../assets"]);
        self.done(command);
    }
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The desk on which every example was built under the eyes of strace: umask 077, two threads.
pub(crate) fn desk() -> &'static Desk {
    static DESK: OnceLock<Desk> = OnceLock::new();
    DESK.get_or_init(|| {
        let desk = Desk::new();
        for (example, _) in BUILT {
            let log = format!("{example}.log");
            let how =
                How { out: "first", threads: "2", umask: "077", variables: &[], log: Some(&log) };
            desk.build(example, &how);
        }
        desk
    })
}

/// The SHA-256 of a file, by coreutils.
pub(crate) fn sha256sum(path: &Path) -> String {
    let said = tool::run("coreutils", "sha256sum", &["-b", path.to_str().unwrap()]);
    said.split_whitespace().next().unwrap().to_owned()
}
