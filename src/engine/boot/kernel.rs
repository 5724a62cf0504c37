//! The kernel that a document starts: its bytes, changed as it says.
//!
//! Invariant: what is not a kernel for the document's machine is refused here, where it can be known.

use std::sync::Arc;

use super::place::{Ground, Trees};
use crate::engine::base::{ByteSource, Content, Error, Kind, Origin, SectorSource};
use crate::engine::transform::netbsd;
use crate::engine::{Env, Given};
use crate::manifest::FieldPath;
use crate::manifest::types::{Boot, Kernel, LinuxEntry, Transform};

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
    let path = FieldPath::new("spec.boot.kernel");
    let content = match &kernel.from {
        Some(from) => {
            let origin = Origin::new(path.member("from").as_str());
            trees.file(&ground.find(from, &origin)?, &origin)?
        }
        None => given.content(&path.member("source"))?,
    };
    let Some(netbsd) = &kernel.transform.netbsd else { return Ok(content) };
    let origin = Origin::new(path.member("transform").member("netbsd").as_str());
    let source = sectors(content, &origin)?;
    let plain = netbsd::gunzip(&source, env.scratch).map_err(|e| e.at(&origin))?;
    let changed = netbsd::apply(&plain, &netbsd.keep_drivers).map_err(|e| e.at(&origin))?;
    if let [first, ..] = changed.report.unknown.as_slice() {
        let message = format!("the kernel has no driver {first:?}");
        return Err(Error::new(Kind::Document, message).at(&origin));
    }
    Ok(Content::Sectors(changed.kernel))
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
