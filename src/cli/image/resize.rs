//! `vmimage resize`: the same image with a longer or a shorter disk.
//!
//! Changes no partition and no filesystem. Invariant: nothing but zeros is cut off; a raw file that
//! grows is changed where it is, every other file is replaced when the new one is complete.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use serde_json::json;

use super::args::ResizeArgs;
use super::convert::{label, written};
use super::source::Opened;
use super::target::{Target, refused};
use crate::cli::failure::{Failure, Failures};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::progress::Shown;
use crate::engine::base::{Cut, Error, Overlay, Padded, Patch, SectorSource, Work};
use crate::engine::format::{FormatName, last_data};
use crate::engine::partition::{self, Moved};
use crate::publish::files::{self, Pending};
use crate::report::Code;
use crate::units::{SECTOR, parse_size};

/// Runs the verb.
pub(in crate::cli) fn run(args: &ResizeArgs, output: &Output) -> Result<(), Failures> {
    let Target::File(path) = Target::of(&args.image, false)? else {
        let message = format!("{} is not a regular file", args.image.display());
        return Err(refused(message).into());
    };
    let interrupt = Interrupt::listen()?;
    let opened = Opened::open(&path, &args.source, &interrupt)?;
    if !opened.is_file() {
        let message = format!("{} is packed; convert it first", opened.name);
        return Err(refused(message).into());
    }
    let (old, wanted) = (opened.image.len(), size(&args.size, opened.image.len())?);
    accepts(&opened, old, wanted, args.shrink)?;
    let new = opened.image.params().virtual_size(wanted)?;
    if new != wanted {
        output.say(&format!("{} makes {wanted} bytes {new}", opened.image.format()));
    }
    let shown = Shown::new(output, &interrupt, &opened.name);
    let work = Work { threads: args.threads.map_or(0, usize::from), progress: &shown };
    let moved = moved(&opened, new, args.move_gpt, output)?;
    if new != old {
        let raw = opened.image.format() == FormatName::Raw;
        if raw && new > old {
            grow(&path, &opened, new, &moved)?;
        } else {
            rewrite(&path, &opened, new, moved, &work, &interrupt)?;
        }
    }
    shown.done();
    if output.is_json() {
        output.json(&json!({"path": opened.name, "oldSize": old, "virtualSize": new}))?;
    }
    Ok(())
}

/// The size that the user wants: absolute, or what is added.
fn size(text: &str, old: u64) -> Result<u64, Failure> {
    let bytes = |text| parse_size(text).map_err(|e| refused(format!("SIZE: {e}")));
    match text.strip_prefix('+') {
        None => Ok(bytes(text)?.get()),
        Some(more) => {
            let too_large = || refused(format!("SIZE: {old} bytes and {more} do not fit 64 bits"));
            old.checked_add(bytes(more)?.get()).ok_or_else(too_large)
        }
    }
}

/// Refuses what cannot be resized.
fn accepts(opened: &Opened, old: u64, new: u64, shrink: bool) -> Result<(), Failure> {
    let format = opened.image.format();
    if new < old && !shrink {
        let message =
            format!("{new} bytes are less than the {old} that it has; --shrink allows it");
        return Err(refused(message));
    }
    if format != FormatName::Raw && !new.is_multiple_of(SECTOR) {
        return Err(refused(format!(
            "{format} holds whole sectors of {SECTOR} bytes, not {new} bytes"
        )));
    }
    let details = opened.image.details();
    let snapshots = details.get("snapshots").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if snapshots > 0 {
        let message = format!("the image has {snapshots} snapshots, which resizing would lose");
        return Err(refused(message));
    }
    Ok(())
}

/// What becomes of the GPT.
fn moved(opened: &Opened, new: u64, wanted: bool, output: &Output) -> Result<Moved, Failures> {
    if wanted {
        let moved = partition::resized(&*opened.image, new).map_err(|e| opened.fail(&e))?;
        return moved.ok_or_else(|| refused("the disk has no GPT to move".to_owned()).into());
    }
    let gpt = partition::read(&*opened.image).ok().flatten();
    if gpt.is_some_and(|table| table.kind == partition::Kind::Gpt) && new > opened.image.len() {
        output.say("the backup of the GPT is no longer at the end; --move-gpt would move it");
    }
    Ok(Moved::default())
}

/// Makes a raw file longer where it is.
fn grow(path: &Path, opened: &Opened, new: u64, moved: &Moved) -> Result<(), Failures> {
    let fail = |e| Failure::io(Code::Io, &format!("writing {}", path.display()), e);
    let file = fs::OpenOptions::new().read(true).write(true).open(path).map_err(fail)?.into_file();
    let (one, other) =
        (file.metadata().map_err(fail)?, opened.file.file().metadata().map_err(fail)?);
    if (one.dev(), one.ino()) != (other.dev(), other.ino()) {
        return Err(refused(format!("{} was replaced by another file", path.display())).into());
    }
    opened.unchanged().map_err(|e| opened.fail(&e))?;
    file.set_len(new).map_err(fail)?;
    // The first header keeps the disk readable until the rest is in place.
    let (first, rest) = moved.written.split_last().map_or((None, &[][..]), |(l, r)| (Some(l), r));
    let put = |patches: &[Patch], file: &File| {
        patches.iter().try_for_each(|patch| file.write_all_at(&patch.bytes, patch.offset))
    };
    put(&moved.erased, &file).and_then(|()| put(rest, &file)).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    put(first.map(std::slice::from_ref).unwrap_or_default(), &file).map_err(fail)?;
    Ok(file.sync_all().map_err(fail)?)
}

/// Writes the image again with a disk of `new` bytes, and replaces it.
fn rewrite(
    path: &Path,
    opened: &Opened,
    new: u64,
    moved: Moved,
    work: &Work<'_>,
    interrupt: &Interrupt,
) -> Result<(), Failures> {
    let medium = resized(opened.disk(), new, moved, work).map_err(|e| opened.fail(&e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let label = label(&name, None, new);
    let files = written(path, &medium, &label, &opened.image.params().into(), work)?;
    opened.unchanged().map_err(|e| opened.fail(&e))?;
    interrupt.check()?;
    files.iter().try_for_each(|file| keep_owner(file, opened))?;
    Ok(files::commit(files)?)
}

/// `disk` with `new` bytes. What is cut off must be zero.
fn resized(
    disk: Arc<dyn SectorSource>,
    new: u64,
    moved: Moved,
    work: &Work<'_>,
) -> Result<Arc<dyn SectorSource>, Error> {
    let old = disk.len();
    let disk: Arc<dyn SectorSource> = Arc::new(Overlay::new(disk, moved.erased)?);
    let disk: Arc<dyn SectorSource> = if new >= old {
        Arc::new(Padded::new(disk, new)?)
    } else if let Some(at) = last_data(&*disk, new, work)? {
        let message = format!(
            "the disk cannot be cut to {new} bytes: byte {at} is not zero, so it needs at least {}",
            at + 1
        );
        return Err(Error::new(crate::engine::base::Kind::Document, message));
    } else {
        Arc::new(Cut::new(disk, new))
    };
    Ok(Arc::new(Overlay::new(disk, moved.written)?))
}

/// Gives the new file the mode and, if that is possible, the owner of the old one.
fn keep_owner(file: &Pending, opened: &Opened) -> Result<(), Failure> {
    let fail = |e| Failure::io(Code::Io, &format!("writing {}", opened.name), e);
    let old = opened.file.file().metadata().map_err(fail)?;
    let new = file.sink().file();
    let (user, group) =
        (rustix::fs::Uid::from_raw(old.uid()), rustix::fs::Gid::from_raw(old.gid()));
    // Only root may give files away; for others the new file is theirs, as any new file is.
    let _ = rustix::fs::fchown(new, Some(user), Some(group));
    new.set_permissions(old.permissions()).map_err(fail)
}
