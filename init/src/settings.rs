//! Where the configuration comes from: the file in the initramfs, then QEMU's fw_cfg, then the
//! kernel command line; each adds to what was before, or replaces it.
//!
//! Invariant: a value that is none is logged with its place, and everything else counts.

use fs_err as fs;

use crate::guest::{Config, command_line};
use crate::log;

/// QEMU's `-fw_cfg name=opt/vmimage/KEY,string=VALUE` as qemu_fw_cfg.ko shows it.
const FW_CFG: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/vmimage";

/// What the file and the command line say: enough to load modules.
pub(crate) fn first() -> Config {
    let mut config = Config::default();
    file(&mut config);
    line(&mut config);
    config
}

/// All of it, once modules may have brought fw_cfg.
pub(crate) fn all(first: Config) -> Config {
    if !first.seed || !fs::exists(FW_CFG).unwrap_or(false) {
        return first;
    }
    let mut config = Config::default();
    for error in config.read(&fs::read_to_string(Config::PATH).unwrap_or_default()) {
        // Logged by `first`.
        let _ = error;
    }
    firmware(&mut config);
    line(&mut config);
    config
}

fn file(config: &mut Config) {
    match fs::read_to_string(Config::PATH) {
        Ok(text) => {
            for error in config.read(&text) {
                log::error("config", &[("file", &Config::PATH), ("error", &error)]);
            }
        }
        Err(error) => log::warn("config", &[("file", &Config::PATH), ("error", &error)]),
    }
}

fn firmware(config: &mut Config) {
    let mut keys: Vec<String> = fs::read_dir(FW_CFG)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    keys.sort();
    for key in keys {
        let Ok(bytes) = fs::read(format!("{FW_CFG}/{key}/raw")) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        // QEMU's string= has no zero at its end, other makers put one.
        let text = text.trim_end_matches(['\0', '\n']);
        // A whole configuration, or one value.
        let errors: Vec<String> = if key == "config" {
            config.read(text).iter().map(ToString::to_string).collect()
        } else {
            config.set(&key, text).err().iter().map(ToString::to_string).collect()
        };
        match errors.is_empty() {
            true => log::info("fw-cfg", &[("key", &key)]),
            false => errors
                .iter()
                .for_each(|error| log::error("fw-cfg", &[("key", &key), ("error", error)])),
        }
    }
}

fn line(config: &mut Config) {
    let text = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    for (key, value) in command_line(&text) {
        let own = key.strip_prefix(Config::PREFIX);
        let result = match (own, key.as_str()) {
            (Some(key), _) => config.set(key, &value),
            // The kernel's own words for the root filesystem. A RAM disk is what we are in.
            (None, "root") if value != "/dev/ram0" => config.set("root", &value),
            (None, "init") => config.set("root-init", &value),
            _ => Ok(()),
        };
        if let Err(error) = result {
            log::error("command-line", &[("word", &key), ("error", &error)]);
        }
    }
}
