//! A partition before it has its place: what is in it, and how large it is at least.
//!
//! Places nothing. Invariant: a filesystem that takes what is left of a disk is planned again once
//! that is known; all others keep the size they have here.

use std::sync::Arc;

use super::base::tree::Tree;
use super::base::{Content, Error, Kind, Origin};
use super::filesystem::{self, BootCode, Identity, Params, Planned, Request, Room};
use super::ids::{Ids, PartitionIds};
use super::{Env, Given, params};
use crate::manifest::FieldPath;
use crate::manifest::types::{Architecture, Disk, Headroom, Partition, PartitionTable};

/// Bytes of a BIOS boot partition without size: what everybody gives it.
const BIOS_BOOT: u64 = 1 << 20;

/// A planned partition.
#[derive(Debug)]
pub(super) struct Volume {
    /// The partition of the document.
    pub(super) origin: Origin,
    /// The same, with what its table entry is made of.
    pub(super) partition: Partition,
    /// The document's processor, which some types depend on.
    pub(super) architecture: Architecture,
    /// What is in it.
    pub(super) body: Body,
    /// Bytes it has at least.
    pub(super) size: u64,
}

/// What is in a partition.
#[derive(Debug)]
pub(super) enum Body {
    /// Zeros.
    Empty,
    /// These bytes, and zeros behind them.
    Content(Content),
    /// A filesystem.
    Filesystem(Box<Filesystem>),
}

/// A filesystem that is planned.
#[derive(Debug)]
pub(super) struct Filesystem {
    /// The plan.
    pub(super) planned: Box<dyn Planned>,
    params: Params,
    tree: Arc<Tree>,
    identity: Identity,
    sector: u64,
}

/// Plans all partitions of `disk`, each with its tree.
pub(super) fn volumes(
    disk: &Disk,
    ids: &Ids,
    trees: Vec<Option<Tree>>,
    mut code: Option<(usize, BootCode)>,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Vec<Volume>, Error> {
    let all = disk.partitions.iter().zip(&ids.partitions).zip(trees).enumerate();
    all.map(|(index, ((partition, ids), tree))| {
        let path = FieldPath::new("spec.disk.partitions").index(index);
        let origin = Origin::new(path.as_str());
        let code = code.take_if(|(at, _)| *at == index).map(|(_, code)| code);
        let made = one(disk, partition, ids, (tree, code), &path, given, env);
        let (body, size) = made.map_err(|e| e.at(&origin))?;
        let architecture = given.spec.architecture;
        Ok(Volume { origin, partition: partition.clone(), architecture, body, size })
    })
    .collect()
}

#[expect(clippy::too_many_arguments, reason = "what is known about one partition")]
fn one(
    disk: &Disk,
    partition: &Partition,
    ids: &PartitionIds,
    (tree, code): (Option<Tree>, Option<BootCode>),
    path: &FieldPath,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<(Body, u64), Error> {
    // Without a table the only partition is the disk.
    let whole = disk.size.filter(|_| disk.partition_table == PartitionTable::None);
    let wanted = partition.size.or(whole).map(|size| size.0.get());
    let Some(filesystem) = &partition.filesystem else {
        return raw(partition, wanted, path, given);
    };
    let tree =
        Arc::new(tree.ok_or_else(|| Error::new(Kind::Document, "a filesystem without a tree"))?);
    let (percent, bytes) = headroom(&filesystem.headroom);
    let room = wanted.map_or(Room::Fit { percent, bytes }, Room::Exactly);
    let mut params = params::of(filesystem, wanted.is_some())?;
    match (&mut params, code) {
        (Params::Ext(params), Some(code)) => params.boot = Some(code),
        (Params::Fat(params), Some(code)) => params.boot = Some(code),
        _ => {}
    }
    let identity =
        Identity { label: filesystem.label.clone(), uuid: ids.filesystem.clone(), seed: ids.seed };
    let sector = u64::from(disk.sector_size.0);
    let request = request(&tree, &identity, room, sector, env);
    let planned = filesystem::plan(&params, &request)?;
    let size = planned.len();
    let filesystem = Filesystem { planned, params, tree, identity, sector };
    Ok((Body::Filesystem(Box::new(filesystem)), size))
}

/// Marks the partition with this index as the one to boot, unless the document marks one.
pub(super) fn activate(disk: &Disk, volumes: &mut [Volume], index: usize) {
    let name = match disk.partition_table {
        PartitionTable::Mbr => "active",
        PartitionTable::Gpt => "legacyBoot",
        PartitionTable::None => return,
    };
    let marks = |volume: &Volume| volume.partition.attributes.iter().any(|own| own == name);
    if !volumes.iter().any(marks)
        && let Some(volume) = volumes.get_mut(index)
    {
        volume.partition.attributes.push(name.to_owned());
    }
}

fn raw(
    partition: &Partition,
    wanted: Option<u64>,
    path: &FieldPath,
    given: &Given<'_>,
) -> Result<(Body, u64), Error> {
    let Some(_) = &partition.source else {
        let core = (partition.kind.as_deref() == Some("biosBoot")).then_some(BIOS_BOOT);
        let size = wanted.or(partition.grow.then_some(1)).or(core).ok_or_else(|| {
            let message = "an empty partition needs size, or grow: true";
            Error::new(Kind::Document, message)
        })?;
        return Ok((Body::Empty, size));
    };
    let field = path.member("source");
    let content = given.content(&field)?;
    if let Some(size) = wanted.filter(|size| *size < content.len()) {
        let message = format!("{} bytes do not fit the partition of {size}", content.len());
        return Err(Error::new(Kind::Document, message).at(&Origin::new(field.as_str())));
    }
    let size = wanted.unwrap_or(content.len());
    Ok((Body::Content(content), size))
}

/// Per cent and bytes.
#[must_use]
pub(super) fn headroom(given: &Headroom) -> (u32, u64) {
    (given.percent.unwrap_or(0), given.size.map_or(0, |size| size.0.get()))
}

fn request<'a>(
    tree: &Arc<Tree>,
    identity: &Identity,
    room: Room,
    sector: u64,
    env: &'a Env<'_>,
) -> Request<'a> {
    Request {
        tree: Arc::clone(tree),
        identity: identity.clone(),
        room,
        time: env.time,
        sector,
        scratch: env.scratch,
        work: env.work,
    }
}

impl Filesystem {
    /// The same filesystem in exactly `size` bytes.
    pub(super) fn resized(self, size: u64, env: &Env<'_>) -> Result<Self, Error> {
        if self.planned.len() == size {
            return Ok(self);
        }
        let room = Room::Exactly(size);
        let request = request(&self.tree, &self.identity, room, self.sector, env);
        let planned = filesystem::plan(&self.params, &request)?;
        Ok(Self { planned, ..self })
    }
}
