//! What must hold before the builder builds: one accepted document, its target, the same hashes.
//!
//! Does not build. Invariant: what the caller hashed is what is built.

use std::path::Path;

use fs_err as fs;

use super::{Error, Params};
use crate::engine::Inputs;
use crate::manifest::types::Target;
use crate::manifest::{VMImage, check, hash, parse};

/// The hashes of a build.
#[derive(Debug)]
pub(super) struct Hashes {
    /// contentHash.
    pub(super) content: String,
    /// targetHash.
    pub(super) target: String,
}

/// Reads and checks the document.
pub(super) fn read(path: &Path) -> Result<VMImage, Error> {
    let text =
        fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut documents = parse(&text, &[])?;
    let found = documents.len();
    let image = match documents.pop() {
        Some(document) if found == 1 => document.image,
        _ => return Err(Error::Count { found }),
    };
    let problems = check(&image);
    if !problems.is_empty() {
        return Err(Error::Problems { problems });
    }
    Ok(image)
}

/// The publish entry `name`.
pub(super) fn target<'a>(image: &'a VMImage, name: &str) -> Result<&'a Target, Error> {
    let entry = image.spec.publish.iter().find(|target| target.name == name);
    entry.ok_or_else(|| Error::Target {
        name: name.to_owned(),
        known: image.spec.publish.iter().map(|target| target.name.clone()).collect(),
    })
}

/// Computes the hashes again and compares them with those of the caller.
pub(super) fn hashes(
    image: &VMImage,
    target: &Target,
    inputs: &Inputs,
    params: &Params,
) -> Result<Hashes, Error> {
    boot_assets(inputs, params)?;
    let content = hash::content_hash(&image.spec, &inputs.digests())?;
    let target = hash::target_hash(&content, &image.spec, target).unwrap_or_default();
    same("contentHash", &content, &params.content_hash)?;
    same("targetHash", &target, &params.target_hash)?;
    Ok(Hashes { content, target })
}

/// The boot assets here must be those of the caller: its contentHash covers them.
fn boot_assets(inputs: &Inputs, params: &Params) -> Result<(), Error> {
    for (set, there) in &params.boot_assets {
        let here = inputs.assets().get(&hash::asset_path(set)).cloned().unwrap_or_default();
        if here != *there {
            return Err(Error::BootAssets { set: set.clone(), here, there: there.clone() });
        }
    }
    Ok(())
}

fn same(what: &'static str, computed: &str, given: &str) -> Result<(), Error> {
    if computed == given {
        return Ok(());
    }
    Err(Error::Hash { what, computed: computed.to_owned(), given: given.to_owned() })
}
