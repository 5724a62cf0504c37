//! An inode of an untrusted squashfs.
//!
//! Invariant: nothing is taken by its length before that was compared with what is allowed.

use super::file::Bytes;
use super::image::{Cursor, damaged};
use super::ondisk::{
    BLOCK_DEVICE, CHAR_DEVICE, DIRECTORY, Device, Directory, FIFO, FILE, File, InodeHead, LONG,
    LongDirectory, LongFile, NONE32, SOCKET, SYMLINK, Symlink,
};
use crate::engine::base::Error;
use crate::engine::base::tree;

/// Bytes of a link's text: more than Linux reads (a page) are not accepted.
const MAX_LINK: u32 = 65_535;

/// The part that all inodes have, and the rest.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) head: InodeHead,
    pub(super) what: What,
    /// The number of its attributes; `NONE32` without.
    pub(super) attributes: u32,
}

#[derive(Debug)]
pub(super) enum What {
    /// Where the listing lies, and its bytes.
    Directory {
        block: u32,
        offset: u16,
        len: u32,
    },
    File(Bytes),
    Symlink(Vec<u8>),
    CharDevice(tree::Device),
    BlockDevice(tree::Device),
    Fifo,
    Socket,
}

pub(super) fn read(mut at: Cursor<'_>) -> Result<Inode, Error> {
    let head: InodeHead = at.item()?;
    let kind = head.kind.get();
    let long = kind > LONG;
    let mut attributes = NONE32;
    let what = match if long { kind - LONG } else { kind } {
        DIRECTORY => directory(&mut at, long, &mut attributes)?,
        FILE => What::File(file(&mut at, long, &mut attributes)?),
        SYMLINK => {
            let link: Symlink = at.item()?;
            let len = link.size.get();
            if len == 0 || len > MAX_LINK {
                let message = format!("a link of {len} bytes: 1 to {MAX_LINK} are allowed");
                return Err(damaged(message));
            }
            What::Symlink(at.bytes(len as usize)?)
        }
        BLOCK_DEVICE => What::BlockDevice(device(&mut at)?),
        CHAR_DEVICE => What::CharDevice(device(&mut at)?),
        FIFO => {
            at.number()?;
            What::Fifo
        }
        SOCKET => {
            at.number()?;
            What::Socket
        }
        _ => return Err(damaged(format!("an inode of type {kind}: 1 to 14 are allowed"))),
    };
    if long && !matches!(what, What::Directory { .. } | What::File(_)) {
        attributes = at.number()?;
    }
    Ok(Inode { head, what, attributes })
}

fn directory(at: &mut Cursor<'_>, long: bool, attributes: &mut u32) -> Result<What, Error> {
    let (block, offset, size) = if long {
        let directory: LongDirectory = at.item()?;
        *attributes = directory.attributes.get();
        (directory.block, directory.offset, directory.size.get())
    } else {
        let directory: Directory = at.item()?;
        (directory.block, directory.offset, directory.size.get().into())
    };
    // The size counts 3 bytes for `.` and `..`, which are not there.
    let len = size.saturating_sub(3);
    Ok(What::Directory { block: block.get(), offset: offset.get(), len })
}

fn file(at: &mut Cursor<'_>, long: bool, attributes: &mut u32) -> Result<Bytes, Error> {
    if long {
        let file: LongFile = at.item()?;
        *attributes = file.attributes.get();
        return Ok(Bytes {
            start: file.start.get(),
            size: file.size.get(),
            fragment: file.fragment.get(),
            offset: file.offset.get(),
            list: at.place(),
        });
    }
    let file: File = at.item()?;
    Ok(Bytes {
        start: file.start.get().into(),
        size: file.size.get().into(),
        fragment: file.fragment.get(),
        offset: file.offset.get(),
        list: at.place(),
    })
}

fn device(at: &mut Cursor<'_>) -> Result<tree::Device, Error> {
    let device: Device = at.item()?;
    let packed = device.device.get();
    Ok(tree::Device { major: packed >> 8 & 0xfff, minor: packed & 0xff | packed >> 12 & !0xff })
}
