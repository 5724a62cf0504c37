//! What is taken of an input: a member of an archive, what is inside of a compressed file.
//!
//! Fetches nothing. Invariant: what is unpacked lies in the scratch and counts against its budget;
//! what lies in an archive as it is, is taken by reference.

use std::sync::Arc;

use crate::engine::archive::Format;
use crate::engine::base::tree::{Limits, Meta, Time, Tree, TreePath};
use crate::engine::base::{
    ByteSource, Content, Error, Kind, Origin, Scratch, SectorSource, is_zero,
};
use crate::engine::codec::wrap::Wrap;
use crate::engine::filesystem::iso9660;
use crate::engine::payload::{self, Unpack};
use crate::manifest::types::{Decompress, Source};

/// The file at `path` in the tree of an image.
pub(super) fn file(tree: &Tree, path: &str) -> Result<Arc<dyn SectorSource>, Error> {
    bytes(payload::member(tree, &TreePath::new(path.as_bytes())?)?)
}

/// The member of an archive or ISO that `source` names, else all of it.
pub(super) fn member(
    source: &Source,
    whole: Arc<dyn SectorSource>,
    scratch: &Scratch,
) -> Result<Arc<dyn SectorSource>, Error> {
    let Some(member) = &source.member else { return Ok(whole) };
    let work = || {
        let path = TreePath::new(member.as_bytes())?;
        bytes(payload::member(&files(whole, scratch)?, &path)?)
    };
    work().map_err(|e| Error::new(e.kind(), format!("taking the member {member:?}: {e}")))
}

/// The files of an archive or ISO.
fn files(whole: Arc<dyn SectorSource>, scratch: &Scratch) -> Result<Tree, Error> {
    let whole = unpacked(whole, scratch)?;
    // An ISO's first 32 KiB are free: zeros, which are an empty tar, too, or a boot loader's.
    let mut first = vec![0; whole.len().min(512) as usize];
    whole.read_at(0, &mut first)?;
    let archive = !is_zero(&first) && Format::detect(whole.as_ref())?.is_some();
    if !archive && iso9660::look(whole.as_ref())?.is_some() {
        return iso9660::read(whole, &Limits::default());
    }
    let origin = Origin::new("");
    let mut tree = Tree::new(Meta::directory(Time::default()), origin.clone());
    payload::unpack(&mut tree, whole, &Unpack::default(), scratch, &origin)
        .map_err(|e| Error::new(e.kind(), e.to_string()))?;
    Ok(tree)
}

/// What is inside of `bytes`, if `source` says that something is around it.
pub(super) fn decompressed(
    source: &Source,
    bytes: Arc<dyn SectorSource>,
    scratch: &Scratch,
) -> Result<Arc<dyn SectorSource>, Error> {
    let wrap = match source.decompress {
        Decompress::None => return Ok(bytes),
        Decompress::Auto => return unpacked(bytes, scratch),
        Decompress::Gzip => Wrap::Gzip,
        Decompress::Xz => Wrap::Xz,
        Decompress::Zstd => Wrap::Zstd,
        Decompress::Bzip2 => Wrap::Bzip2,
        Decompress::Lz4 => Wrap::Lz4,
    };
    payload::unwrapped(wrap, bytes, &Unpack::default(), scratch)
        .map_err(|e| Error::new(e.kind(), format!("decompress: {e}")))
}

/// What is inside of `bytes`, as their first ones say.
pub(super) fn unpacked(
    bytes: Arc<dyn SectorSource>,
    scratch: &Scratch,
) -> Result<Arc<dyn SectorSource>, Error> {
    payload::plain(bytes, &Unpack::default(), scratch)
}

fn bytes(content: Content) -> Result<Arc<dyn SectorSource>, Error> {
    match content {
        Content::Bytes(bytes) => Ok(Arc::new(ByteSource::new(bytes))),
        Content::Sectors(source) => Ok(source),
        Content::Late(_) => Err(Error::new(Kind::Input, "it has no bytes yet")),
    }
}
