//! The modules (`.c32`) that a config needs, and those that they need in turn.
//!
//! Runs none. Invariant: every module of the result finds all that it needs in the result or in
//! `ldlinux.c32`, which is always there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::assets::{Assets, Set};
use super::elf;
use crate::engine::base::{Error, Kind};

/// Modules by name. `wanted` are names such as `menu.c32`.
pub fn modules(assets: &Assets, wanted: &[&str]) -> Result<BTreeMap<String, Arc<[u8]>>, Error> {
    let mut found = BTreeMap::new();
    let mut open: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = open.pop() {
        if found.contains_key(&name) || name == "ldlinux.c32" {
            continue;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if !name
            .strip_suffix(".c32")
            .is_some_and(|stem| !stem.is_empty() && stem.chars().all(plain))
        {
            let message = format!(
                "syslinux: \"{name}\" is no name of a module: letters and digits, then .c32"
            );
            return Err(Error::new(Kind::Document, message));
        }
        let module = assets.read(Set::Syslinux, &format!("modules/bios/{name}"))?;
        let needed = elf::needed(&module).ok_or_else(|| {
            let message = format!("syslinux: {name} is no module: a 32-bit ELF is wanted");
            Error::new(Kind::Input, message)
        })?;
        open.extend(needed);
        found.insert(name, module);
    }
    Ok(found)
}
