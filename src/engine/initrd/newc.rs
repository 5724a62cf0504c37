//! A tree as a newc archive (cpio "070701"), which Linux unpacks into its first root filesystem.
//!
//! Copies no file's bytes: they are read when the archive is. Extended attributes have no place in
//! the format: see `with_attributes`. Invariants: the same tree and times give the same archive: the
//! one that GNU cpio makes with `--reproducible` of the same names in the same order, but for the
//! order of more than two names of one file; a body begins at a multiple of 4; of a file with several
//! names the last one has the body.

use std::collections::BTreeMap;

use zerocopy::IntoBytes as _;

use super::ondisk::{
    ALIGN, BLOCK, MAGIC, MAX_MAJOR, MAX_MINOR, MAX_NAME, MAX_TARGET, Newc, TRAILER, hex, kind,
};
use crate::engine::base::tree::{Device, Kind, Node, NodeId, Step, Time, Tree, TreePath};
use crate::engine::base::{Composed, Content, Error, Extent, Kind as ErrorKind, Origin, Region};

/// When files were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// What the tree says. Seconds before 1970 and behind 2106 become the first or last that the
    /// format has.
    Own,
    /// The same for all.
    All(Time),
}

/// How an archive is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// When its files were changed.
    pub times: Times,
    /// What bodies begin at multiples of, beside 4: names are filled up with zeros, as Linux'
    /// gen_init_cpio does with `-a`. 4 changes nothing.
    pub align: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { times: Times::Own, align: ALIGN }
    }
}

/// The paths of what has extended attributes, which the archive does not hold.
#[must_use]
pub fn with_attributes(tree: &Tree) -> Vec<TreePath> {
    let steps = tree.walk().filter(|step| {
        tree.node(step.node).attributes.as_ref().is_some_and(|attributes| !attributes.is_empty())
    });
    steps.map(|step| step.path).collect()
}

/// The archive. A name that Linux does not take, a file of 4 GiB or more and contents that must know
/// their place are refused.
pub fn archive(tree: &Tree, params: &Params) -> Result<Composed, Error> {
    if !params.align.is_power_of_two() || !(ALIGN..=BLOCK).contains(&params.align) {
        let align = params.align;
        let message =
            format!("bodies aligned to {align}; a power of 2 from 4 to {BLOCK} is allowed");
        return Err(Error::new(ErrorKind::Document, message));
    }
    let mut writer = Writer::new(*params, tree.origin(Tree::ROOT).clone());
    for step in tree.walk() {
        let origin = tree.origin(step.node);
        writer.member(tree, &step).map_err(|e| e.at(origin))?;
    }
    writer.finish()
}

/// Puts regions one after the other.
struct Writer {
    params: Params,
    regions: Vec<Region>,
    /// Headers, names and short bodies that are not a region yet; they end at `at`.
    gathered: Vec<u8>,
    at: u64,
    origin: Origin,
    inodes: Inodes,
}

/// Numbers of inodes in the order of their first name, from 0 on as GNU cpio counts.
#[derive(Default)]
struct Inodes {
    next: u32,
    /// Of files with several names: the number, and how many names are to come.
    shared: BTreeMap<NodeId, (u32, u32)>,
}

/// What a header tells.
#[derive(Default)]
struct Header {
    inode: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    names: u32,
    modified: u32,
    size: u32,
    special: Option<Device>,
}

impl Inodes {
    /// The number for one more name of a node, and whether it is the last name.
    fn number(&mut self, id: NodeId, node: &Node) -> (u32, bool) {
        if node.names() < 2 || node.kind.is_directory() {
            return (self.fresh(), true);
        }
        let known = self.shared.get(&id).copied();
        let (number, left) = known.unwrap_or_else(|| (self.fresh(), node.names()));
        self.shared.insert(id, (number, left.saturating_sub(1)));
        (number, left <= 1)
    }

    const fn fresh(&mut self) -> u32 {
        let number = self.next;
        // A tree has less than 2^24 nodes.
        self.next += 1;
        number
    }
}

impl Writer {
    fn new(params: Params, origin: Origin) -> Self {
        let inodes = Inodes::default();
        Self { params, regions: Vec::new(), gathered: Vec::new(), at: 0, origin, inodes }
    }

    /// A name with what has it.
    fn member(&mut self, tree: &Tree, step: &Step) -> Result<(), Error> {
        let node = tree.node(step.node);
        let name = name_of(&step.path)?;
        let (inode, last) = self.inodes.number(step.node, node);
        let (mode, special) = mode_of(&node.kind);
        if let Some(device) = special {
            check_device(&name, device)?;
        }
        let body = match &node.kind {
            Kind::File(content) if last => body_of(&name, content)?,
            Kind::Symlink(target) if last => Some(target_of(&name, target)?),
            _ => None,
        };
        // OK to cast: `body_of` has seen that it fits.
        let size = body.as_ref().map_or(0, |body| body.len() as u32);
        let header = Header {
            inode,
            mode: mode | u32::from(node.meta.mode & 0o7777),
            uid: node.meta.uid,
            gid: node.meta.gid,
            names: names_of(tree, node),
            modified: self.seconds(node.meta.modified),
            size,
            special,
        };
        self.header(&header, &name)?;
        match body {
            None => {}
            Some(Content::Bytes(bytes)) => self.gather(&bytes),
            Some(content) => self.place(content, tree.origin(step.node)),
        }
        self.pad(ALIGN);
        Ok(())
    }

    fn header(&mut self, header: &Header, name: &[u8]) -> Result<(), Error> {
        let from = self.at + size_of::<Newc>() as u64;
        let end = from + name.len() as u64 + 1;
        let align = if header.size > 0 { self.params.align } else { ALIGN };
        // With the plain alignment zeros behind the name are not part of it.
        let counted = if align > ALIGN { end.next_multiple_of(align) } else { end };
        // OK to cast: a name has at most 4096 bytes, and the alignment is at most 512.
        let name_size = (counted - from) as u32;
        if name_size as usize > MAX_NAME {
            let align = self.params.align;
            return Err(too_long(name, &format!("aligned to {align} it has {name_size} bytes")));
        }
        let special = header.special.unwrap_or(Device { major: 0, minor: 0 });
        let written = Newc {
            magic: MAGIC,
            inode: hex(header.inode),
            mode: hex(header.mode),
            uid: hex(header.uid),
            gid: hex(header.gid),
            names: hex(header.names),
            modified: hex(header.modified),
            size: hex(header.size),
            device: [hex(0), hex(0)],
            special: [hex(special.major), hex(special.minor)],
            name_size: hex(name_size),
            sum: hex(0),
        };
        self.gather(written.as_bytes());
        self.gather(name);
        self.gather(&[0]);
        self.pad(align);
        Ok(())
    }

    /// Bytes, copied.
    fn gather(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(bytes);
        self.at += bytes.len() as u64;
    }

    /// Zeros up to a multiple of `align`.
    fn pad(&mut self, align: u64) {
        let end = self.at.next_multiple_of(align);
        // OK to cast: less than 512.
        self.gathered.resize(self.gathered.len() + (end - self.at) as usize, 0);
        self.at = end;
    }

    /// What was gathered becomes a region.
    fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.gathered);
        if let Some(extent) = Extent::new(self.at - bytes.len() as u64, self.at) {
            let content = Content::Bytes(bytes.into());
            self.regions.push(Region { extent, content, origin: self.origin.clone() });
        }
    }

    /// A content by reference.
    fn place(&mut self, content: Content, origin: &Origin) {
        self.flush();
        let end = self.at + content.len();
        if let Some(extent) = Extent::new(self.at, end) {
            self.regions.push(Region { extent, content, origin: origin.clone() });
        }
        self.at = end;
    }

    fn finish(mut self) -> Result<Composed, Error> {
        self.header(&Header { names: 1, ..Header::default() }, TRAILER)?;
        self.flush();
        Ok(Composed::new(self.at.next_multiple_of(BLOCK), self.regions))
    }

    fn seconds(&self, own: Time) -> u32 {
        let seconds = match self.params.times {
            Times::Own => own.seconds,
            Times::All(time) => time.seconds,
        };
        u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
    }
}

/// The name without a slash in front; the root is `.`.
fn name_of(path: &TreePath) -> Result<Vec<u8>, Error> {
    let names: Vec<&[u8]> = path.names().iter().map(|name| name.as_bytes()).collect();
    let name = names.join(&b'/');
    if name.len() >= MAX_NAME {
        return Err(too_long(&name, &format!("it has {} bytes", name.len() + 1)));
    }
    match name.as_slice() {
        b"" => Ok(b".".to_vec()),
        TRAILER => {
            let message = "a file \"TRAILER!!!\" would be taken for the end of an initramfs";
            Err(Error::new(ErrorKind::Input, message))
        }
        _ => Ok(name),
    }
}

fn too_long(name: &[u8], found: &str) -> Error {
    let shown = name.get(..name.len().min(300)).unwrap_or_default().escape_ascii();
    let message = format!(
        "the path \"{shown}\" is too long for an initramfs: {found} with its zero, Linux takes \
         {MAX_NAME}"
    );
    Error::new(ErrorKind::Input, message)
}

/// Names of a file; of a directory, as every Unix counts them: itself, its name, and those below it.
fn names_of(tree: &Tree, node: &Node) -> u32 {
    let Some(entries) = node.entries() else { return node.names() };
    let below = entries.values().filter(|id| tree.node(**id).kind.is_directory()).count();
    u32::try_from(below + 2).unwrap_or(u32::MAX)
}

const fn mode_of(kind: &Kind) -> (u32, Option<Device>) {
    match kind {
        Kind::Directory(_) => (kind::DIRECTORY, None),
        Kind::File(_) => (kind::FILE, None),
        Kind::Symlink(_) => (kind::SYMLINK, None),
        Kind::CharDevice(device) => (kind::CHAR, Some(*device)),
        Kind::BlockDevice(device) => (kind::BLOCK, Some(*device)),
        Kind::Fifo => (kind::FIFO, None),
        Kind::Socket => (kind::SOCKET, None),
    }
}

fn check_device(name: &[u8], device: Device) -> Result<(), Error> {
    let Device { major, minor } = device;
    if major <= MAX_MAJOR && minor <= MAX_MINOR {
        return Ok(());
    }
    let message = format!(
        "\"{}\" is the device {major}:{minor}; Linux has numbers up to {MAX_MAJOR}:{MAX_MINOR}",
        name.escape_ascii()
    );
    Err(Error::new(ErrorKind::Input, message))
}

fn body_of(name: &[u8], content: &Content) -> Result<Option<Content>, Error> {
    let shown = name.escape_ascii();
    if matches!(content, Content::Late(_)) {
        let message = format!("\"{shown}\" must know where it lies, which an initramfs cannot say");
        return Err(Error::new(ErrorKind::Document, message));
    }
    let len = content.len();
    if u32::try_from(len).is_err() {
        let most = u32::MAX;
        let message =
            format!("\"{shown}\" has {len} bytes; a file of an initramfs has at most {most}");
        return Err(Error::new(ErrorKind::Input, message));
    }
    Ok((len > 0).then(|| content.clone()))
}

fn target_of(name: &[u8], target: &[u8]) -> Result<Content, Error> {
    let len = target.len();
    if (1..=MAX_TARGET).contains(&len) {
        return Ok(Content::Bytes(target.into()));
    }
    let message = format!(
        "the link \"{}\" has a text of {len} bytes; 1 to {MAX_TARGET} are allowed",
        name.escape_ascii()
    );
    Err(Error::new(ErrorKind::Input, message))
}
