//! btrfs: one device, one subvolume, everything stored once.
//!
//! Compresses nothing, and makes no snapshots and no free space tree: Linux makes a free space cache
//! when it mounts. Metadata is stored once ("single"), too: an image is not the place for a second
//! copy. Access, change and creation times are the time of modification. Invariant: a filesystem that
//! is written has room for the metadata that Linux needs to mount it read-write.

mod attributes;
mod constants;
mod data;
mod items;
mod layout;
mod ondisk;
mod packed;
mod pieces;
mod read;
mod references;
mod shape;
mod space;
mod system;
mod write;

use std::sync::Arc;

use uuid::Uuid;

use self::layout::Layout;
use self::shape::{Rules, Shape};
use self::space::{FIRST_CHUNK, SYSTEM_LENGTH};
use self::write::Plan;
use super::{Facts, Identity, Planned, Request, Room};
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, Kind, SectorSource};

/// Bytes of a sector: what files are made of.
const SECTOR: u64 = 4096;
/// Bytes of a label at most.
const LABEL: usize = 255;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Bytes of a node: a power of two from 4096 to 65536. Omitted: 16384, and 4096 with `mixed`.
    pub node_size: Option<u32>,
    /// Data and metadata share block groups: for disks of less than about 100 MiB.
    pub mixed: bool,
    /// Bytes of a file at most that lie beside its metadata: 0 to 2048.
    pub max_inline: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { node_size: None, mixed: false, max_inline: 2048 }
    }
}

/// The ids of a filesystem.
#[derive(Clone, Copy, Debug)]
struct Ids {
    filesystem: Uuid,
    device: Uuid,
    chunk_tree: Uuid,
    subvolume: Uuid,
}

impl Ids {
    fn new(identity: &Identity) -> Result<Self, Error> {
        let derived = |of: &[u8]| Uuid::new_v5(&identity.seed, of);
        let filesystem = match &identity.uuid {
            None => derived(b"btrfs filesystem"),
            Some(text) => Uuid::parse_str(text).ok().filter(|id| !id.is_nil()).ok_or_else(|| {
                let message = format!(
                    "\"{text}\" is no UUID of a btrfs filesystem: 32 hexadecimal digits, not all 0"
                );
                Error::new(Kind::Document, message)
            })?,
        };
        Ok(Self {
            filesystem,
            device: derived(b"btrfs device"),
            chunk_tree: derived(b"btrfs chunk tree"),
            subvolume: derived(b"btrfs subvolume"),
        })
    }
}

/// Plans a filesystem.
pub fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    let node_size = params.node_size.unwrap_or(if params.mixed { 4096 } else { 16384 });
    let mixed_fits = !params.mixed || node_size == 4096;
    if !node_size.is_power_of_two() || !(4096..=65536).contains(&node_size) || !mixed_fits {
        let allowed = if params.mixed { "4096 in mixed block groups" } else { "4096 to 65536" };
        let message = format!("a node of {node_size} bytes; allowed is a power of two, {allowed}");
        return Err(Error::new(Kind::Document, message));
    }
    if params.max_inline > 2048 {
        let message = format!("{} bytes inline; allowed are 0 to 2048", params.max_inline);
        return Err(Error::new(Kind::Document, message));
    }
    let label = request.identity.label.clone().unwrap_or_default();
    if label.len() > LABEL || label.contains(['\n', '\0']) {
        let message = format!(
            "the label \"{}\" has {} bytes; allowed are {LABEL} without a newline and a zero byte",
            label.escape_debug(),
            label.len()
        );
        return Err(Error::new(Kind::Document, message));
    }
    let rules = Rules {
        node_size: node_size as usize,
        sector: SECTOR,
        max_inline: params.max_inline.into(),
        data: FIRST_CHUNK + SYSTEM_LENGTH,
    };
    let shape = Arc::new(Shape::new(Arc::clone(&request.tree), rules)?);
    let ids = Ids::new(&request.identity)?;
    let layout = Layout::new(shape, ids, params.mixed)?;
    let len = room(&layout, request.room)?;
    Ok(Box::new(Plan { layout, label, len, time: request.time }))
}

/// The length of the filesystem.
fn room(layout: &Layout, room: Room) -> Result<u64, Error> {
    let least = layout.end();
    match room {
        Room::Exactly(len) if len < least => {
            let message = format!("the btrfs filesystem needs {least} bytes, but has {len}");
            Err(Error::new(Kind::Document, message))
        }
        Room::Exactly(len) => Ok(len),
        Room::Fit { percent, bytes } => {
            let share = u128::from(layout.used()) * u128::from(percent) / 100;
            let wanted = u128::from(least) + share + u128::from(bytes);
            let wanted =
                u64::try_from(wanted).ok().filter(|len| *len < 1 << 62).ok_or_else(|| {
                    let message = format!("a btrfs filesystem of {wanted} bytes is too large");
                    Error::new(Kind::Document, message)
                })?;
            Ok(wanted.next_multiple_of(SECTOR))
        }
    }
}

/// What it is.
pub fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    read::look(medium)
}

/// The tree of the default subvolume.
pub fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    read::read(medium, limits)
}
