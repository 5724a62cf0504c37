//! Where the files of UEFI firmware lie.
//!
//! Copies nothing. Invariant: code and variables come from one package: a pair is used whole or not.

use std::path::{Path, PathBuf};

use super::machine::Architecture;
use crate::engine::base::{Error, Kind};

/// Code and the template of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash {
    /// The code, which no machine writes.
    pub code: PathBuf,
    /// The variables that a new machine begins with.
    pub vars: PathBuf,
    /// Whether it checks signatures with Microsoft's keys.
    pub secure: bool,
}

/// A pair of files.
type Pair = (&'static str, &'static str);

/// Debian's package, and the files of it and of other distributions; the first that is there is used.
struct Known {
    architecture: Architecture,
    secure: bool,
    package: &'static str,
    pairs: &'static [Pair],
}

const KNOWN: [Known; 4] = [
    Known {
        architecture: Architecture::Amd64,
        secure: false,
        package: "ovmf",
        pairs: &[
            ("OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"),
            ("OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd"),
            ("edk2/ovmf/OVMF_CODE.fd", "edk2/ovmf/OVMF_VARS.fd"),
            ("edk2/x64/OVMF_CODE.4m.fd", "edk2/x64/OVMF_VARS.4m.fd"),
            ("qemu/ovmf-x86_64-code.bin", "qemu/ovmf-x86_64-vars.bin"),
            ("qemu/edk2-x86_64-code.fd", "qemu/edk2-i386-vars.fd"),
        ],
    },
    Known {
        architecture: Architecture::Amd64,
        secure: true,
        package: "ovmf",
        pairs: &[
            ("OVMF/OVMF_CODE_4M.ms.fd", "OVMF/OVMF_VARS_4M.ms.fd"),
            ("OVMF/OVMF_CODE.ms.fd", "OVMF/OVMF_VARS.ms.fd"),
            ("edk2/ovmf/OVMF_CODE.secboot.fd", "edk2/ovmf/OVMF_VARS.secboot.fd"),
        ],
    },
    Known {
        architecture: Architecture::I386,
        secure: false,
        package: "ovmf-ia32",
        pairs: &[
            ("OVMF/OVMF32_CODE_4M.fd", "OVMF/OVMF32_VARS_4M.fd"),
            ("OVMF/OVMF32_CODE_4M.secboot.fd", "OVMF/OVMF32_VARS_4M.fd"),
            ("edk2/ovmf-ia32/OVMF_CODE.fd", "edk2/ovmf-ia32/OVMF_VARS.fd"),
            ("edk2/ia32/OVMF_CODE.4m.fd", "edk2/ia32/OVMF_VARS.4m.fd"),
            ("qemu/edk2-i386-code.fd", "qemu/edk2-i386-vars.fd"),
        ],
    },
    Known {
        architecture: Architecture::Arm64,
        secure: false,
        package: "qemu-efi-aarch64",
        pairs: &[
            ("AAVMF/AAVMF_CODE.no-secboot.fd", "AAVMF/AAVMF_VARS.fd"),
            ("AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.fd"),
            ("edk2/aarch64/QEMU_EFI-pflash.raw", "edk2/aarch64/vars-template-pflash.raw"),
            ("edk2/aarch64/QEMU_CODE.fd", "edk2/aarch64/QEMU_VARS.fd"),
            ("qemu/aavmf-aarch64-code.bin", "qemu/aavmf-aarch64-vars.bin"),
            ("qemu/edk2-aarch64-code.fd", "qemu/edk2-arm-vars.fd"),
        ],
    },
];

/// The directories that distributions keep firmware below.
const SHARES: [&str; 3] = ["/usr/share", "/usr/local/share", "/opt/homebrew/share"];

/// The firmware for an architecture: below `directory` if there is one, else where distributions have
/// it.
pub fn flash(
    architecture: Architecture,
    secure: bool,
    directory: Option<&Path>,
) -> Result<Flash, Error> {
    let name = architecture.as_str();
    let known = KNOWN.iter().find(|one| one.architecture == architecture && one.secure == secure);
    let known = known.ok_or_else(|| {
        let message = format!("firmware uefi-secure: known for amd64 only, not for {name}");
        Error::new(Kind::Document, message)
    })?;
    let shares: Vec<PathBuf> = match directory {
        Some(directory) => vec![directory.to_owned()],
        None => SHARES.iter().map(PathBuf::from).collect(),
    };
    let pairs = |share: &PathBuf| {
        let share = share.clone();
        known.pairs.iter().map(move |(code, vars)| (placed(&share, code), placed(&share, vars)))
    };
    // A directory that was named may hold the files themselves.
    let plain = |share: &PathBuf| {
        let share = share.clone();
        let bare = |path: &str| PathBuf::from(path.rsplit('/').next().unwrap_or_default());
        known.pairs.iter().map(move |(code, vars)| (share.join(bare(code)), share.join(bare(vars))))
    };
    let all =
        shares.iter().flat_map(pairs).chain(directory.iter().flat_map(|d| plain(&(*d).into())));
    for (code, vars) in all {
        if code.is_file() && vars.is_file() {
            return Ok(Flash { code, vars, secure });
        }
    }
    let searched: Vec<_> = shares.iter().map(|share| share.display().to_string()).collect();
    let first = known.pairs.first().map(|(code, _)| *code).unwrap_or_default();
    let message = format!(
        "there is no UEFI firmware for {name}: looked for {first} and others below {}; Debian has it in the package {}",
        searched.join(", "),
        known.package
    );
    Err(Error::new(Kind::Input, message))
}

fn placed(share: &Path, name: &str) -> PathBuf {
    share.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_used_whole() {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = directory.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, b"").unwrap();
        };
        let find = || flash(Architecture::Amd64, false, Some(directory.path()));
        let message = find().unwrap_err().to_string();
        assert!(message.contains("OVMF/OVMF_CODE_4M.fd") && message.ends_with("package ovmf"));
        make("OVMF/OVMF_CODE_4M.fd");
        assert!(find().is_err(), "there are no variables");
        make("OVMF_CODE.fd");
        make("OVMF_VARS.fd");
        assert_eq!(find().unwrap().code, directory.path().join("OVMF_CODE.fd"));
        make("OVMF/OVMF_VARS_4M.fd");
        assert_eq!(find().unwrap().vars, directory.path().join("OVMF/OVMF_VARS_4M.fd"));
        let secure = flash(Architecture::Arm64, true, None).unwrap_err().to_string();
        assert_eq!(secure, "firmware uefi-secure: known for amd64 only, not for arm64");
    }
}
