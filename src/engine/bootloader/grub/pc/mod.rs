//! GRUB for BIOS: core images made from the distribution's kernel and modules, and where they go.
//!
//! Copies no code of GRUB: it is read from files. Sources: GRUB 2.06, docs/grub-dev.texi for the
//! parts, measurement for the rest; the oracle is `grub-mkimage`. Invariant: what is refused is
//! refused before a byte is written.

mod payload;
mod place;

use std::io::Write as _;
use std::mem::offset_of;
use std::sync::Arc;

use super::ondisk::{
    BLOCK_LIST_AT, BlockList, COMPRESSED_AT, LARGEST_CORE, SECTOR, UNCOMPRESSED_AT,
};
use crate::engine::base::{Error, Kind};
use crate::engine::bootloader::assets::{Assets, Set};

pub use place::Hybrid;

/// What goes into a core image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreParams {
    /// Modules; what they need comes by itself.
    pub modules: Vec<String>,
    /// `$prefix`: `(,msdos1)/boot/grub` is that partition of the disk GRUB was loaded from,
    /// `/boot/grub` that disk without a partition, `(hd0,gpt2)/boot/grub` a named one.
    pub prefix: String,
    /// Commands that are run first, in the language of GRUB's rescue shell (no `if`, no blocks).
    pub config: Option<Vec<u8>>,
    /// A filesystem that GRUB shows as `(memdisk)`; needs the module `memdisk`.
    pub memdisk: Option<Vec<u8>>,
}

/// A core image: what `grub-mkimage -O i386-pc` makes.
#[derive(Clone, Debug)]
pub struct Core {
    bytes: Vec<u8>,
    /// `boot.img`, which loads it from a disk.
    boot: Vec<u8>,
    modules: Vec<String>,
    unpacked: u64,
}

/// Makes a core image.
pub fn core(params: &CoreParams, assets: &Assets) -> Result<Core, Error> {
    let (payload, modules) = payload::build(params, assets)?;
    let mut bytes = image(assets, "diskboot.img", Some(SECTOR))?;
    let mut decompressor = image(assets, "lzma_decompress.img", None)?;
    let how = format!("GRUB, LZMA {PRESET} {NICE} {DEPTH}");
    let packed = assets.made(&how, &[&payload], || pack(&payload))?;
    put(&mut decompressor, COMPRESSED_AT, &size(packed.len())?.to_le_bytes())?;
    put(&mut decompressor, UNCOMPRESSED_AT, &size(payload.len())?.to_le_bytes())?;
    bytes.extend(decompressor);
    bytes.extend(packed);

    let len = bytes.len() as u64;
    if let Some(over) = len.checked_sub(LARGEST_CORE).filter(|over| *over > 0) {
        let message = format!(
            "GRUB's core image is {over} bytes too large: it has {len}, a BIOS leaves room for \
             {LARGEST_CORE}; modules can lie in the filesystem instead"
        );
        return Err(Error::new(Kind::Document, message));
    }
    let rest = sectors_behind_first(bytes.len())?;
    put(&mut bytes, BLOCK_LIST_AT + offset_of!(BlockList, len), &rest.to_le_bytes())?;
    let boot = place::boot(assets)?;
    Ok(Core { bytes, boot, modules, unpacked: payload.len() as u64 })
}

/// A file of GRUB: its name and its bytes.
pub type File = (String, Arc<[u8]>);

/// The files of `$prefix/i386-pc`: these modules, what they need, and the lists by which GRUB finds
/// modules on demand. Sorted by name.
pub fn files(modules: &[String], assets: &Assets) -> Result<Vec<File>, Error> {
    let mut names: Vec<String> =
        payload::closure(modules, assets)?.into_iter().map(|name| name + ".mod").collect();
    let lists = assets.names(Set::GrubPc)?;
    names.extend(lists.into_iter().filter(|name| {
        std::path::Path::new(name).extension().is_some_and(|extension| extension == "lst")
    }));
    names.sort();
    names.into_iter().map(|name| assets.read(Set::GrubPc, &name).map(|file| (name, file))).collect()
}

impl Core {
    /// The bytes as `grub-mkimage` writes them, for a place that is not known.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All modules in it, in the order in which GRUB starts them.
    #[must_use]
    pub fn modules(&self) -> &[String] {
        &self.modules
    }

    /// Bytes of what is compressed in it.
    #[must_use]
    pub const fn unpacked(&self) -> u64 {
        self.unpacked
    }
}

/// Raw LZMA as the decompressor in front of it reads: 3 literal context bits, none of the position,
/// 2 position bits, no header and no mark at the end.
fn pack(payload: &[u8]) -> Result<Vec<u8>, Error> {
    let mut options = lzma_rust2::LzmaOptions::with_preset(PRESET);
    (options.lc, options.lp, options.pb) = (3, 0, 2);
    options.dict_size = 64 << 10;
    (options.nice_len, options.depth_limit) = (NICE, DEPTH);
    let failed = |e| Error::io("compressing GRUB's core image", e);
    let mut writer =
        lzma_rust2::LzmaWriter::new_no_header(Vec::new(), &options, false).map_err(failed)?;
    writer.write_all(payload).map_err(failed)?;
    writer.finish().map_err(failed)
}

/// How hard is tried. 5 and 6 save 4 % of a core image of 150 kB and take three times as long, 1 takes
/// as long as 3.
const PRESET: u32 = 3;
/// A match this long is taken without looking for a longer one, and so many are looked at: the
/// preset's 273 and 24 save 0.3 % and take a third more time.
const NICE: u32 = 64;
const DEPTH: i32 = 8;

/// A file of GRUB with as many bytes as it must have.
fn image(assets: &Assets, name: &str, len: Option<usize>) -> Result<Vec<u8>, Error> {
    let bytes = assets.read(Set::GrubPc, name)?.to_vec();
    match len {
        Some(len) if bytes.len() != len => {
            let message = format!("GRUB's {name} has {} bytes instead of {len}", bytes.len());
            Err(Error::new(Kind::Input, message))
        }
        _ => Ok(bytes),
    }
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), Error> {
    let len = to.len();
    let place = to.get_mut(at..at + bytes.len()).ok_or_else(|| {
        let message = format!("a file of GRUB has {len} bytes and no place for a number at {at}");
        Error::new(Kind::Input, message)
    })?;
    place.copy_from_slice(bytes);
    Ok(())
}

fn size(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes)
        .map_err(|_| Error::new(Kind::Document, "GRUB's core image has 4 GiB or more"))
}

/// Sectors of a core image that its first sector has to load.
fn sectors_behind_first(bytes: usize) -> Result<u16, Error> {
    let sectors = bytes.div_ceil(SECTOR).saturating_sub(1);
    u16::try_from(sectors)
        .map_err(|_| Error::new(Kind::Document, "GRUB's core image has more than 65536 sectors"))
}
