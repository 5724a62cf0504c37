//! The kernel that a document starts: its bytes, changed as it says.
//!
//! Invariant: what is not a kernel for the document's machine is refused here, where it can be known.

use std::sync::Arc;

use super::place::{Ground, Trees};
use crate::engine::base::{ByteSource, Content, Error, Kind, Origin, SectorSource};
use crate::engine::bootloader::efi;
use crate::engine::bootloader::grub::kernel as x86;
use crate::engine::transform::netbsd;
use crate::engine::{Env, Given};
use crate::manifest::FieldPath;
use crate::manifest::types::{Architecture, Boot, Kernel, LinuxEntry, Path, Transform};

/// No kernel or module that a loader reads is larger.
const LARGEST: u64 = 256 << 20;

/// The bytes of `kernel`.
pub(super) fn content(
    kernel: &Kernel,
    ground: &Ground<'_>,
    trees: &Trees<'_>,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Content, Error> {
    changed(kernel, ground, trees, given, env).map(|(content, _)| content)
}

/// The bytes of `kernel`, and what its transform did.
pub(super) fn changed(
    kernel: &Kernel,
    ground: &Ground<'_>,
    trees: &Trees<'_>,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<(Content, Option<netbsd::Report>), Error> {
    let path = FieldPath::new("spec.boot.kernel");
    let content = match &kernel.from {
        Some(from) => {
            let origin = Origin::new(path.member("from").as_str());
            trees.file(&ground.find(from, &origin)?, &origin)?
        }
        None => given.content(&path.member("source"))?,
    };
    let Some(netbsd) = &kernel.transform.netbsd else { return Ok((content, None)) };
    let origin = Origin::new(path.member("transform").member("netbsd").as_str());
    let source = sectors(content, &origin)?;
    let plain = netbsd::gunzip(&source, env.scratch).map_err(|e| e.at(&origin))?;
    let changed = netbsd::apply(&plain, &netbsd.keep_drivers).map_err(|e| e.at(&origin))?;
    if let [first, ..] = changed.report.unknown.as_slice() {
        return Err(unknown(first, &changed.report).at(&origin));
    }
    Ok((Content::Sectors(changed.kernel), Some(changed.report)))
}

/// A driver to keep that the kernel does not have: most probably a slip, and a machine without it
/// would not find its disk.
fn unknown(name: &str, report: &netbsd::Report) -> Error {
    let known = || report.kept.iter().chain(&report.disabled).map(|driver| driver.name.as_str());
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    let mut near: Vec<_> = known().filter(|known| distance(known) <= 2).collect();
    near.sort_by_key(|known| (distance(known), *known));
    near.truncate(3);
    let hint = match near.is_empty() {
        true => format!("it has {} others", known().count()),
        false => format!("did you mean {}?", near.join(" or ")),
    };
    let message = format!("the kernel has no driver {name:?}; {hint}");
    Error::new(Kind::Document, message)
}

/// The content as sectors.
pub(in crate::engine) fn sectors(
    content: Content,
    origin: &Origin,
) -> Result<Arc<dyn SectorSource>, Error> {
    match content {
        Content::Bytes(bytes) => Ok(Arc::new(ByteSource::new(bytes))),
        Content::Sectors(source) => Ok(source),
        Content::Late(_) => {
            let message = "a file whose bytes follow from its place can be no kernel";
            Err(Error::new(Kind::Document, message).at(origin))
        }
    }
}

/// The content in memory.
pub(super) fn bytes(content: &Content, origin: &Origin) -> Result<Vec<u8>, Error> {
    if content.len() > LARGEST {
        let message = format!("the file has {} bytes, at most {LARGEST} are loaded", content.len());
        return Err(Error::new(Kind::Document, message).at(origin));
    }
    let mut bytes = vec![0; content.len() as usize];
    sectors(content.clone(), origin)?.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// A kernel as a loader of Multiboot sees it: GRUB unpacks what is compressed.
pub(super) fn unpacked(
    content: &Content,
    env: &Env<'_>,
    origin: &Origin,
) -> Result<Content, Error> {
    let source = sectors(content.clone(), origin)?;
    netbsd::gunzip(&source, env.scratch).map(Content::Sectors).map_err(|e| e.at(origin))
}

/// Judges the Linux kernel of a menu, and what its initrd needs.
pub(super) fn linux(
    (name, kernel): (&Path, &Content),
    initrd: Option<(&Path, &Content)>,
    given: &Given<'_>,
    origin: &Origin,
) -> Result<(), Error> {
    if given.spec.architecture == Architecture::Arm64 {
        let source = sectors(kernel.clone(), origin)?;
        efi::kernel(&*source, efi::Machine::Arm64).map_err(|e| e.at(origin))?;
        return Ok(());
    }
    let refused = |why: String| Err(Error::new(Kind::Document, why).at(origin));
    let found = x86::linux(&bytes(kernel, origin)?, name).map_err(|e| e.at(origin))?;
    if found.wide && given.spec.architecture == Architecture::I386 {
        let version = found.version.unwrap_or_default();
        return refused(format!(
            "{name} is a Linux kernel for amd64 ({version}); the document's architecture is i386"
        ));
    }
    let room = u64::from(found.initrd_end) + 1;
    if let Some((path, initrd)) = initrd.filter(|(_, initrd)| initrd.len() > room) {
        return refused(format!(
            "the initrd {path} has {} bytes; the kernel {name} takes it below address {room} of memory only",
            initrd.len()
        ));
    }
    Ok(())
}

/// The entry that starts the document's kernel; none without one.
pub(super) fn entry(boot: &Boot) -> Option<LinuxEntry> {
    let kernel = boot.kernel.as_ref()?;
    // What is in the tree already and stays as it is has a place.
    let given = kernel.from.as_ref().filter(|_| kernel.transform == Transform::default());
    let initrd = boot.initrd.as_ref();
    let initrd = initrd.map(|initrd| initrd.from.as_ref().unwrap_or(&initrd.path).clone());
    Some(LinuxEntry {
        kernel: given.unwrap_or(&kernel.path).clone(),
        initrd,
        command_line: boot.command_line.clone(),
    })
}
