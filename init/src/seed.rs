//! A NoCloud volume (cloud-init "NoCloud", filesystem label `cidata`): the instance's id, the
//! host's name, and user data as a file for the app.
//!
//! Runs nothing out of it, and leaves network-config alone. Invariant: the volume is unmounted
//! again.

use fs_err as fs;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, unmount};

use crate::disks;
use crate::log;
use crate::mounts;

const AT: &str = "/run/vmimage/cidata";
/// Where user data lies for the app.
const USER_DATA: &str = "/run/vmimage/user-data";

/// What a volume says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seed {
    pub(crate) hostname: String,
    /// For the app: `VMIMAGE_INSTANCE_ID`, `VMIMAGE_USER_DATA`.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// Reads the volume, if there is one.
pub(crate) fn read() -> Seed {
    let mut seed = Seed::default();
    // Not waited for: a machine without one would start later for it.
    let found = disks::wait(Duration::ZERO, |devices| {
        let fits = |device: &&disks::Device| {
            let kind = matches!(device.found.kind, "iso9660" | "vfat");
            kind && device.found.label.eq_ignore_ascii_case("cidata")
        };
        devices.iter().find(fits).cloned()
    });
    let Some(device) = found else { return seed };
    let path = device.path();
    if let Err(error) = mounts::at(&path, device.found.kind, AT, MountFlags::RDONLY, "") {
        log::error("cidata", &[("device", &path), ("error", &error)]);
        return seed;
    }
    take(&mut seed);
    if let Err(error) = unmount(AT, UnmountFlags::empty()) {
        log::warn("unmount", &[("path", &AT), ("error", &error)]);
    }
    log::info("cidata", &[("device", &path), ("hostname", &seed.hostname)]);
    seed
}

fn take(seed: &mut Seed) {
    let text = fs::read_to_string(format!("{AT}/meta-data")).unwrap_or_default();
    seed.hostname =
        value(&text, "local-hostname").or_else(|| value(&text, "hostname")).unwrap_or_default();
    if let Some(id) = value(&text, "instance-id") {
        seed.environment.push(("VMIMAGE_INSTANCE_ID", id));
    }
    match fs::copy(format!("{AT}/user-data"), USER_DATA) {
        Ok(_) => seed.environment.push(("VMIMAGE_USER_DATA", USER_DATA.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => log::error("cidata", &[("file", &"user-data"), ("error", &error)]),
    }
}

/// The scalar of a key on the top level of YAML (or JSON on lines of its own): no more of YAML is
/// needed for what makers write here.
fn value(text: &str, key: &str) -> Option<String> {
    let found = text.lines().find_map(|line| {
        let line = line.strip_prefix(['{', ' ', '\t']).map_or(line, str::trim_start);
        let line = line.trim_start_matches('"').strip_prefix(key)?;
        line.trim_start_matches('"').trim_start().strip_prefix(':')
    })?;
    let found = found.trim().trim_end_matches([',', '}']).trim();
    let plain = found.split(" #").next().unwrap_or_default().trim();
    let quoted = ['"', '\''].iter().find_map(|mark| found.strip_prefix(*mark)?.split(*mark).next());
    Some(quoted.unwrap_or(plain).to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_as_makers_write_them() {
        let yaml =
            "# seed\ninstance-id: i-1 # one\nlocal-hostname: \"box: a\"\nother:\n  hostname: no\n";
        assert_eq!(value(yaml, "instance-id").as_deref(), Some("i-1"));
        assert_eq!(value(yaml, "local-hostname").as_deref(), Some("box: a"));
        assert_eq!(value(yaml, "other"), None);
        let json = "{\n  \"instance-id\": \"i-2\",\n  \"local-hostname\": \"json\"\n}\n";
        assert_eq!(value(json, "instance-id").as_deref(), Some("i-2"));
        assert_eq!(value(json, "local-hostname").as_deref(), Some("json"));
        assert_eq!(value("instance-id:\n", "instance-id"), None);
    }
}
