//! A Linux guest in QEMU that mounts disks of ours and tells what it sees.
//!
//! Judges nothing itself. Invariant: a guest that does not come to the end of its job fails the
//! test with its log.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::listing::{Entry, Listing, first_names};

/// A job takes no longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(200);
/// On a busy host the kernel's check of the timer fails at random.
const LINE: &str = "console=ttyS0 quiet panic=-1 no_timer_check";

/// A disk of the guest.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) file: PathBuf,
    /// Bytes of a logical sector.
    pub(crate) sector: u32,
}

/// Shell functions that jobs use. `list DIRECTORY NAME` leaves what it sees in /out.
const LIBRARY: &str = r#"
list() {
  cd "$1" || return 1
  /judge/find . -printf '%p\0%y\0%m\0%U\0%G\0%s\0%T@\0%l\0%i\0' >/out/$2.list
  /judge/find . \( -type b -o -type c \) -exec /judge/stat --printf '%n\0%t:%T\0' {} + >/out/$2.devices
  # Where a filesystem has none, getfattr fails; where some are lost, the list differs from the tree.
  /judge/getfattr -R -P -h -d -m - -e hex . >/out/$2.attributes 2>/dev/null || true
  /judge/find . -type f -size -1048577k -print0 | /judge/xargs -0r /judge/sha256sum -z >/out/$2.sums
  /judge/find . -type f -size +1048576k | while read -r f; do
    echo "$(/judge/tail -c 65536 "$f" | /judge/sha256sum | cut -d' ' -f1)  $f"
  done | tr '\n' '\0' >>/out/$2.sums
  cd /
}
set -e
"#;

/// Runs `job`, a shell script, in a guest that has `disks` as /dev/vdc, /dev/vdd, ... and returns
/// the files that it left in /out.
pub(crate) fn run(job: &str, disks: &[Disk]) -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Command::new(root.join("e2e/guest/build")).stderr(Stdio::inherit()).output();
    let built = built.unwrap();
    assert!(built.status.success(), "e2e/guest/build: {}", built.status);
    let guest = PathBuf::from(String::from_utf8(built.stdout).unwrap().trim());
    let directory = tempfile::tempdir().unwrap();
    let (script, out) = (directory.path().join("job"), directory.path().join("out"));
    let mut text = format!("{LIBRARY}{job}").into_bytes();
    text.resize(text.len().next_multiple_of(512), 0);
    fs::write(&script, text).unwrap();
    fs::File::create(&out).unwrap().set_len(512 << 20).unwrap();
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-machine", "q35", "-accel", "tcg", "-m", "768", "-nic", "none"])
        .args(["-display", "none", "-no-reboot", "-append", LINE])
        .args(["-serial", &format!("file:{}", directory.path().join("serial").display())])
        .args(["-kernel".as_ref(), guest.join("vmlinuz").as_os_str()])
        .args(["-initrd".as_ref(), guest.join("initrd").as_os_str()]);
    let own = [&script, &out].map(|file| Disk { file: file.clone(), sector: 512 });
    for (number, disk) in own.iter().chain(disks).enumerate() {
        let file = disk.file.display();
        command.args(["-drive", &format!("file={file},format=raw,if=none,id=d{number}")]).args([
            "-device",
            &format!(
                "virtio-blk-pci,drive=d{number},logical_block_size={s},physical_block_size={s}",
                s = disk.sector
            ),
        ]);
    }
    let status = wait(&mut command);
    let serial = fs::read(directory.path().join("serial")).unwrap_or_default();
    let files = unpack(&out);
    let log = files.get("log").map(|log| String::from_utf8_lossy(log).into_owned());
    assert!(
        status && files.contains_key("done"),
        "the guest did not finish its job:\n{}\n{}",
        String::from_utf8_lossy(&serial),
        log.unwrap_or_default()
    );
    files
}

/// Waits for the guest to power off; ends it where it does not.
fn wait(command: &mut Command) -> bool {
    let mut child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|e| {
        panic!("qemu-system-x86_64: {e}; install it: apt install qemu-system-x86")
    });
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn unpack(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(fs::File::open(out).unwrap());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let Ok(mut entry) = entry else { break };
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(name, bytes);
    }
    files
}

/// What `list DIRECTORY NAME` left.
pub(crate) fn listing(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Listing {
    let part = |kind: &str| {
        files.get(&format!("{name}.{kind}")).unwrap_or_else(|| panic!("no {name}.{kind}"))
    };
    let fields: Vec<&[u8]> = part("list").split(|byte| *byte == 0).collect();
    let (mut seen, mut inodes) = (Listing::new(), BTreeMap::new());
    for chunk in fields.chunks_exact(9) {
        let path = plain(chunk[0]);
        let text = |n: usize| std::str::from_utf8(chunk[n]).unwrap();
        let kind = text(1).chars().next().unwrap();
        let number = |n: usize| text(n).parse::<u64>().unwrap();
        let size = if matches!(kind, 'f' | 'l') { number(5) } else { 0 };
        let entry = Entry {
            kind,
            mode: u32::from_str_radix(text(2), 8).unwrap(),
            uid: number(3) as u32,
            gid: number(4) as u32,
            size,
            nanos: nanos(text(6)),
            target: chunk[7].to_vec(),
            ..Entry::default()
        };
        inodes.entry(number(8)).or_insert_with(Vec::new).push(path.clone());
        seen.insert(path, entry);
    }
    first_names(&mut seen, inodes.values());
    for pair in part("devices").split(|byte| *byte == 0).collect::<Vec<_>>().chunks_exact(2) {
        seen.get_mut(&plain(pair[0])).unwrap().target = pair[1].to_vec();
    }
    for line in part("sums").split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let (digest, path) = line.split_at(64);
        let digest = String::from_utf8(digest.to_vec()).unwrap();
        seen.get_mut(&plain(&path[2..])).unwrap().digest = digest;
    }
    attributes(&mut seen, part("attributes"));
    seen
}

/// `./a/b` is `a/b`, `.` is the root.
fn plain(path: &[u8]) -> Vec<u8> {
    path.strip_prefix(b"./").unwrap_or(if path == b"." { b"" } else { path }).to_vec()
}

/// Seconds with a fraction, as `find -printf %T@` writes them.
fn nanos(text: &str) -> i128 {
    let (seconds, fraction) = text.split_once('.').unwrap();
    let fraction: i128 = fraction[..9].parse().unwrap();
    let seconds: i128 = seconds.parse().unwrap();
    // The fraction counts forwards before 1970, too.
    seconds * 1_000_000_000 + fraction
}

/// `getfattr --encoding=hex`: blocks of `# file: NAME` and `KEY=0xHEX`.
fn attributes(seen: &mut Listing, text: &[u8]) {
    let mut file = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(name) = line.strip_prefix(b"# file: ") {
            file = unescape(name);
        } else if let Some(at) = line.iter().position(|byte| *byte == b'=') {
            let (key, value) = (&line[..at], &line[at + 1..]);
            let value = value.strip_prefix(b"0x").unwrap_or(value);
            let entry = seen.get_mut(&plain(&file)).unwrap();
            let key = String::from_utf8(key.to_vec()).unwrap();
            entry.attributes.insert(key, hex::decode(value).unwrap());
        } else if !line.is_empty() {
            let entry = seen.get_mut(&plain(&file)).unwrap();
            entry.attributes.insert(String::from_utf8(line.to_vec()).unwrap(), Vec::new());
        }
    }
}

/// `\134` is a backslash: how getfattr writes what is no printable ASCII.
fn unescape(name: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::new(), name);
    while let Some((byte, more)) = rest.split_first() {
        let digits = more.get(..3).filter(|_| *byte == b'\\');
        let code = digits.and_then(|d| std::str::from_utf8(d).ok());
        match code.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(code) => {
                plain.push(code);
                rest = &more[3..];
            }
            None => {
                plain.push(*byte);
                rest = more;
            }
        }
    }
    plain
}
