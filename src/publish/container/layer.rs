//! The one layer of an image: a tar of its files, plain or in gzip.
//!
//! ```text
//! disk/ │ disk/disk.img │ body, filled to 512 │ two blocks of zeros │ zeros to 10 KiB
//! ```
//!
//! Names no image. Invariants: members come in the order of their names, directories before what lies
//! in them, all of user 107, QEMU's in KubeVirt, at time 0; the plain tar is never stored, its parts
//! are read where they lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Compression, File};
use crate::engine::archive::tar::{head, padding, trailer};
use crate::engine::base::tree::{Meta, Time};
use crate::engine::base::{
    Composed, Content, Error, Extent, Kind, Origin, PositionalSink as _, Region, Scratch,
    SectorSource, Spool, StreamSink, Work, digest,
};
use crate::engine::codec::wrap::{Wrap, Wrapper};

/// User and group of every member.
const OWNER: u32 = 107;
/// Permissions of directories.
const DIRECTORY: u16 = 0o555;
/// Bytes read at once.
const BATCH: u64 = 1 << 20;

/// A layer that is ready.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its bytes as they are stored.
    pub blob: Arc<dyn SectorSource>,
    /// Their SHA-256.
    pub digest: String,
    /// The SHA-256 of the tar inside.
    pub plain: String,
    /// What is around it.
    pub compression: Compression,
}

impl Layer {
    /// The layer with these files.
    pub fn make(
        files: &[File],
        compression: Compression,
        scratch: &Scratch,
        work: &Work<'_>,
    ) -> Result<Self, Error> {
        let tar = archive(files)?;
        if compression == Compression::None {
            let plain = digest(&tar, work.progress)?;
            let digest = plain.clone();
            return Ok(Self { blob: Arc::new(tar), digest, plain, compression });
        }
        let mut packed = Packed { spool: scratch.spool()?, len: 0, hash: Sha256::new() };
        let mut hash = Sha256::new();
        let mut wrapper = Wrapper::new(Wrap::Gzip, &mut packed, work.threads())?;
        work.progress.begin("packing", tar.len());
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < tar.len() {
            buffer.resize((tar.len() - at).min(BATCH) as usize, 0);
            tar.read_at(at, &mut buffer)?;
            hash.update(&buffer);
            wrapper.write(&buffer)?;
            at += buffer.len() as u64;
            work.progress.advance(buffer.len() as u64)?;
        }
        wrapper.finish()?;
        let Packed { spool, hash: outer, .. } = packed;
        let (digest, plain) = (named(outer), named(hash));
        Ok(Self { blob: Arc::new(spool), digest, plain, compression })
    }
}

fn named(hash: Sha256) -> String {
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// Takes the compressed bytes.
struct Packed {
    spool: Spool,
    len: u64,
    hash: Sha256,
}

impl StreamSink for Packed {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.spool.write_at(self.len, bytes)?;
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// The tar of `files`.
fn archive(files: &[File]) -> Result<Composed, Error> {
    let mut regions = Vec::new();
    let mut len = 0;
    let mut place = |content: Content, len: &mut u64| -> Result<(), Error> {
        let end = len.checked_add(content.len()).filter(|end| *end < u64::MAX / 2);
        let end = end.ok_or_else(|| Error::new(Kind::Document, "the files are too long"))?;
        if let Some(extent) = Extent::new(*len, end) {
            regions.push(Region { extent, content, origin: Origin::new("the layer") });
        }
        *len = end;
        Ok(())
    };
    for (path, file) in members(files)? {
        let mode = file.map_or(DIRECTORY, |file| file.mode);
        let meta = Meta { mode, uid: OWNER, gid: OWNER, modified: Time::default() };
        let head = head(&path, &meta, file.map(|file| file.source.len()))?;
        place(Content::Bytes(head.into()), &mut len)?;
        if let Some(file) = file {
            place(Content::Sectors(Arc::clone(&file.source)), &mut len)?;
            len += padding(file.source.len());
        }
    }
    Ok(Composed::new(len + trailer(len), regions))
}

/// All members in order; a directory has no file, and a slash at its end.
fn members(files: &[File]) -> Result<BTreeMap<String, Option<&File>>, Error> {
    let mut members = BTreeMap::new();
    for file in files {
        let wrong = |why: &str| {
            let message = format!("{:?} as a file of an image: {why}", file.path);
            Error::new(Kind::Document, message)
        };
        if file.path.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return Err(wrong("a path such as disk/disk.img is allowed"));
        }
        for (at, _) in file.path.match_indices('/') {
            members.insert(file.path.get(..=at).unwrap_or_default().to_owned(), None);
        }
        if members.insert(file.path.clone(), Some(file)).is_some() {
            return Err(wrong("there are two of that name"));
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::process::Command;

    use super::*;
    use crate::engine::base::{ByteSource, Padded};

    #[test]
    fn a_disk_of_more_than_8_gib_is_told_in_full() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn SectorSource> = Arc::new(ByteSource::new(vec![1; 1024]));
        let disk = Padded::new(disk, (9 << 30) + 512).unwrap();
        let tar = archive(&[File::new("disk/disk.img", Arc::new(disk))]).unwrap();
        // Holes are not written: the file is 9 GiB long and small.
        let out = fs_err::File::create(directory.path().join("tar")).unwrap();
        out.set_len(tar.len()).unwrap();
        for extent in tar.extents() {
            let mut buffer = vec![0; extent.len() as usize];
            tar.read_at(extent.start(), &mut buffer).unwrap();
            out.file().write_all_at(&buffer, extent.start()).unwrap();
        }
        let list = Command::new("tar")
            .args(["--list", "--verbose", "--numeric-owner", "--file", "tar"])
            .current_dir(directory.path())
            .output()
            .expect("tar");
        let list = String::from_utf8(list.stdout).unwrap();
        let line = list.lines().nth(1).unwrap();
        // 9 * 2^30 + 512
        assert!(line.contains(" 9663676928 ") && line.ends_with(" disk/disk.img"), "{list}");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let file = |path: &str| File::new(path, Arc::new(ByteSource::new(vec![1])));
        for paths in [&["/a"][..], &["a//b"], &["../a"], &["a/./b"], &[""], &["a", "a"]] {
            let files: Vec<_> = paths.iter().map(|path| file(path)).collect();
            let error = archive(&files).unwrap_err();
            assert_eq!(error.kind(), Kind::Document, "{paths:?}: {error}");
        }
        let names: Vec<_> = members(&[file("a/b"), file("a/a")]).unwrap().into_keys().collect();
        assert_eq!(names, ["a/", "a/a", "a/b"]);
    }
}
