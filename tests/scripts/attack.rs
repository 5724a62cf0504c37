//! A script that tries everything: what it reaches, what it leaves, and what is left of it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use fs_err as fs;
use serde_json::json;

use crate::desk::{Desk, said};

/// Each line says `reached WHAT` if it gets where it must not.
const ATTACK: &str = r#"
reached() { echo "reached $1"; }
cat /etc/shadow && reached shadow
for up in .. ../.. ../../../../../../../../..; do
  cat "$up$CANARY" && reached "canary by $up"
  ls "$up/usr/share/doc" && reached "host by $up"
done
cat "$CANARY" && reached canary
cat /proc/1/root"$CANARY" && reached "canary by proc"
cat /proc/*/cwd"$CANARY" && reached "canary by cwd"
for n in /proc/[0-9]*; do cat "$n/root$CANARY" && reached "canary by $n"; done
echo x > "$CANARY.new" && reached "writing beside it"
echo x > /bin/new && reached "writing into the image"
echo x > /new && reached "writing into the root"
echo x > /dev/new && reached "writing into dev"
chmod 777 /dev/null && reached "modes of devices"
nc -w 1 127.0.0.1 "$PORT" </dev/null && reached network
nc -w 1 1.1.1.1 53 </dev/null && reached internet
nc local:"$SOCKET" </dev/null && reached "the socket"
[ "$(ls -d /proc/[0-9]* | wc -l)" -gt 9 ] && reached "other processes"
kill -9 "$VICTIM" && reached victim
kill -9 -1 2>/dev/null
mknod node c 1 3 && reached mknod
mknod /tmp/node b 254 0 && reached "mknod in tmp"
mount -t tmpfs none /tmp && reached mount
mount -t proc proc /tree && reached "mount proc"
mount -o remount,rw / && reached remount
mount --bind / /tree && reached bind
chroot / true && reached chroot
unshare -r true && reached "user namespace"
unshare -m true && reached "mount namespace"
chown 0:0 made && reached chown
touch own; chown 0 own && reached "chown own"
echo 1 > /proc/sys/kernel/panic && reached sysctl
echo b > /proc/sysrq-trigger && reached sysrq
ln "$CANARY" hard && reached "hard link"
ln /bin/busybox hard && reached "hard link to the image"
cp /bin/busybox busybox; chmod 6755 busybox
[ "$(./busybox id -u)" = 107 ] || reached "setuid"
[ "$(id -G)" = 107 ] || reached "groups $(id -G)"
ls /proc/self/fd | tr '\n' ' '; echo
for fd in 3 4 5 6 7 8 9 10 11 12; do [ -e "/proc/self/fd/$fd" ] && [ "$fd" -gt 3 ] && reached "fd $fd"; done
ln -s "$CANARY" link; ln -s / root; ln -s /proc/self/root deep; mkfifo pipe
mkdir closed; echo in > closed/file; chmod 0 closed
echo end
true
"#;

fn attacked(user: &str) {
    let desk = Desk::new();
    let canary = desk.at("canary");
    fs::write(&canary, "the canary sings").unwrap();
    fs::set_permissions(&canary, std::fs::Permissions::from_mode(0o666)).unwrap();
    let network = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = desk.at("socket");
    let _socket = UnixListener::bind(&socket).unwrap();
    let mut victim = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let mut script = desk.script(ATTACK);
    script["env"] = json!({
        "CANARY": canary.to_str().unwrap(),
        "PORT": network.local_addr().unwrap().port().to_string(),
        "SOCKET": socket.to_str().unwrap(),
        "VICTIM": victim.id().to_string(),
    });
    desk.document(json!([{"file": {"path": "/made", "text": "made"}}]), json!([script]));
    let output = desk.build(user, &[]);
    let text = said(&output);
    let alive = victim.try_wait().unwrap().is_none();
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("script: reached"), "{text}");
    assert!(text.contains("script: end"), "{text}");
    assert!(!text.contains("sings") && alive, "{text}");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "the canary sings");
    // What it left is what it says, and no more.
    assert!(desk.debugfs("stat link").contains("Type: symlink"));
    assert!(desk.debugfs("stat busybox").contains("Mode:  0755"));
    assert!(desk.debugfs("stat pipe").contains("Type: FIFO"));
    assert_eq!(desk.debugfs("cat closed/file"), "in\n");
    assert!(desk.debugfs("stat closed").contains("Mode:  0000"));
    let image = fs::read(desk.at("out/t.raw")).unwrap();
    assert!(!image.windows(10).any(|part| part == b"canary sin"));
}

#[test]
fn nothing_outside_of_the_tree_is_reached_from_root() {
    attacked("root");
}

#[test]
fn nothing_outside_of_the_tree_is_reached_from_a_user() {
    attacked("nobody");
}

#[test]
fn a_fork_bomb_is_bounded() {
    let desk = Desk::new();
    let mut script = desk.script("bomb() { bomb | bomb & }; bomb; sleep 60");
    script["timeoutSeconds"] = json!(2);
    desk.document(json!([]), json!([script]));
    let before = processes();
    let mut child = desk.command("root", &[]).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        most = most.max(processes());
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(!status.success());
    // Other tests run processes, too.
    assert!(most < before + 400, "{before} processes became {most}");
    assert!(most > before + 20, "{before} processes became {most}: that was no bomb");
}

fn processes() -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok()).count()
}
