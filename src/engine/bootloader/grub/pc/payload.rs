//! What is compressed into a core image: GRUB's kernel, modules, memory disk, config and prefix.
//!
//! Compresses nothing. Invariant: the bytes are those of `grub-mkimage -O i386-pc` before it
//! compresses them.

use zerocopy::IntoBytes as _;

use super::super::ondisk::{
    KERNEL_ADDRESS, MODINFO_MAGIC, ModuleInfo, OBJECT_CONFIG, OBJECT_MEMDISK, OBJECT_MODULE,
    OBJECT_PREFIX, Object, SECTOR,
};
use super::super::{elf, modules};
use super::CoreParams;
use crate::engine::base::{Error, Kind};
use crate::engine::bootloader::assets::{Assets, Set};

/// No kernel of GRUB is larger: it must lie below 640 KiB.
const LARGEST_KERNEL: usize = 0x9_7000;

/// The payload, and the names of its modules in their order.
pub(super) fn build(params: &CoreParams, assets: &Assets) -> Result<(Vec<u8>, Vec<String>), Error> {
    let names = closure(&params.modules, assets)?;
    let mut objects = Vec::new();
    for name in &names {
        let module = assets.read(Set::GrubPc, &format!("{name}.mod"))?;
        if !elf::is_elf(&module) {
            let message = format!("GRUB's module {name}.mod is no ELF file");
            return Err(Error::new(Kind::Input, message));
        }
        object(&mut objects, OBJECT_MODULE, &module, module.len().next_multiple_of(4))?;
    }
    if let Some(disk) = &params.memdisk {
        object(&mut objects, OBJECT_MEMDISK, disk, disk.len().next_multiple_of(SECTOR))?;
    }
    if let Some(config) = &params.config {
        object(&mut objects, OBJECT_CONFIG, config, (config.len() + 1).next_multiple_of(4))?;
    }
    let prefix = params.prefix.as_bytes();
    object(&mut objects, OBJECT_PREFIX, prefix, (prefix.len() + 1).next_multiple_of(4))?;

    let mut payload = kernel(assets)?;
    let header = size_of::<ModuleInfo>();
    let info = ModuleInfo {
        magic: MODINFO_MAGIC.into(),
        offset: size(header)?.into(),
        size: size(header + objects.len())?.into(),
    };
    payload.extend(info.as_bytes());
    payload.extend(objects);
    Ok((payload, names))
}

/// `asked` and what they need, in GRUB's order.
pub(super) fn closure(asked: &[String], assets: &Assets) -> Result<Vec<String>, Error> {
    let list = assets.read(Set::GrubPc, "moddep.lst")?;
    let list = std::str::from_utf8(&list).map_err(|e| {
        let message = format!("GRUB's moddep.lst is damaged: no text at byte {}", e.valid_up_to());
        Error::new(Kind::Input, message)
    })?;
    let known: Vec<&str> =
        list.lines().filter_map(|line| line.split_once(':')).map(|l| l.0).collect();
    for name in asked {
        if !known.is_empty() && !known.contains(&name.as_str()) {
            return Err(unknown(name, &known));
        }
    }
    modules::closure(asked, list)
}

fn unknown(name: &str, known: &[&str]) -> Error {
    let mut near: Vec<_> =
        known.iter().map(|known| (strsim::damerau_levenshtein(name, known), *known)).collect();
    near.retain(|(distance, known)| *distance <= 2 || known.starts_with(name));
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().take(3).map(|near| near.1).collect();
    let hint = if near.is_empty() { String::new() } else { format!("; near: {}", near.join(", ")) };
    let message = format!("GRUB has no module {name:?} for BIOS: it is not in moddep.lst{hint}");
    Error::new(Kind::Document, message)
}

/// `kernel.img` as it lies in memory, without what is zero at its end.
fn kernel(assets: &Assets) -> Result<Vec<u8>, Error> {
    let what = "GRUB's kernel.img";
    let file = assets.read(Set::GrubPc, "kernel.img")?;
    let mut memory = Vec::new();
    for section in elf::sections(&file, what)? {
        let from = section.address.checked_sub(KERNEL_ADDRESS).map(|from| from as usize);
        let end = from.and_then(|from| from.checked_add(section.bytes.len()));
        let end = end.filter(|end| *end <= LARGEST_KERNEL);
        let (Some(from), Some(end)) = (from, end) else {
            let message = format!(
                "{what}: {} bytes at {:#x}, allowed are {KERNEL_ADDRESS:#x} to 0xa0000",
                section.bytes.len(),
                section.address
            );
            return Err(Error::new(Kind::Input, message));
        };
        if memory.len() < end {
            memory.resize(end, 0);
        }
        memory.get_mut(from..end).unwrap_or_default().copy_from_slice(section.bytes);
    }
    if memory.is_empty() {
        return Err(Error::new(Kind::Input, format!("{what} has no sections to load")));
    }
    Ok(memory)
}

/// Adds an object that takes `padded` bytes.
fn object(to: &mut Vec<u8>, kind: u32, bytes: &[u8], padded: usize) -> Result<(), Error> {
    let header = Object { kind: kind.into(), size: size(size_of::<Object>() + padded)?.into() };
    to.extend(header.as_bytes());
    to.extend(bytes);
    to.resize(to.len() + padded - bytes.len(), 0);
    Ok(())
}

fn size(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes).map_err(|_| {
        Error::new(
            Kind::Document,
            format!("{bytes} bytes of GRUB modules, less than 4 GiB are allowed"),
        )
    })
}
