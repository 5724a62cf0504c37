//! What a module says about itself in `.modinfo`: `key=value`, each with a zero behind it
//! (linux/moduleparam.h, MODULE_INFO).
//!
//! Reads no file. Invariant: names of modules have `_` where files and people may write `-`.

use crate::engine::base::{Error, Kind};

/// Entries of one key that are kept: more are no module that was ever built.
const MOST: usize = 1 << 16;

/// What is known about a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// What it calls; these must be loaded before.
    pub(super) depends: Vec<String>,
    /// What it would rather have before (names or aliases).
    pub(super) before: Vec<String>,
    /// What it would rather have behind.
    pub(super) behind: Vec<String>,
    /// Patterns that it answers to.
    pub(super) aliases: Vec<String>,
    /// Files that it asks for.
    pub(super) firmware: Vec<String>,
    /// The kernel that it was built for.
    pub(super) vermagic: String,
    /// e_machine of its file.
    pub(super) machine: u16,
}

/// A module's name as kernels have it.
pub(super) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

impl Info {
    pub(super) fn parse(modinfo: &[u8], machine: u16) -> Result<Self, Error> {
        let mut info = Self { machine, ..Self::default() };
        for field in modinfo.split(|byte| *byte == 0) {
            let Ok(text) = std::str::from_utf8(field) else { continue };
            let Some((key, value)) = text.split_once('=') else { continue };
            let list = match key {
                "depends" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    info.depends.extend(names.map(canonical));
                    &info.depends
                }
                "softdep" => {
                    info.softdep(value);
                    &info.before
                }
                "alias" => {
                    info.aliases.push(value.to_owned());
                    &info.aliases
                }
                "firmware" => {
                    info.firmware.push(value.to_owned());
                    &info.firmware
                }
                "vermagic" => {
                    value.trim_end().clone_into(&mut info.vermagic);
                    continue;
                }
                _ => continue,
            };
            if list.len() > MOST {
                let message = format!("it has more than {MOST} entries {key} in .modinfo");
                return Err(Error::new(Kind::Damaged, message));
            }
        }
        Ok(info)
    }

    /// `pre: a b post: c`.
    fn softdep(&mut self, value: &str) {
        let mut list = None;
        for word in value.split_ascii_whitespace() {
            match (word, &mut list) {
                ("pre:" | "post:", list) => *list = Some(word == "pre:"),
                (name, Some(true)) => self.before.push(name.to_owned()),
                (name, Some(false)) => self.behind.push(name.to_owned()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart() {
        let text = b"license=GPL\0alias=fs-btrfs\0\0softdep=pre: crc32c xxhash64 post: b-c\0\
                     softdep=d\0softdep=pre: e\0depends=libcrc32c,zstd-compress,raid6_pq\0\
                     firmware=a/b.bin\0vermagic=6.1 SMP \0parm=x:y=z\0\xff\xfe=1\0depends=";
        let info = Info::parse(text, 62).unwrap();
        assert_eq!(info.depends, ["libcrc32c", "zstd_compress", "raid6_pq"]);
        assert_eq!(info.before, ["crc32c", "xxhash64", "e"]);
        assert_eq!(info.behind, ["b-c"]);
        assert_eq!(
            (info.aliases, info.firmware),
            (vec!["fs-btrfs".into()], vec!["a/b.bin".into()])
        );
        assert_eq!((info.vermagic.as_str(), info.machine), ("6.1 SMP", 62));
        assert_eq!(Info::parse(b"", 1).unwrap(), Info { machine: 1, ..Info::default() });
    }
}
