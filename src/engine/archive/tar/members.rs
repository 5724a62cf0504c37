//! Writes a tree of files as an archive with everything that a tar can hold.
//!
//! Headers are ustar; what they cannot say stands in an extended header of pax before them. Sockets
//! are left out: no tar has them. Invariants: the same tree gives the same bytes; entries come in
//! the order of their names, directories before what lies in them.

use super::BLOCK;
use super::write::{padding, trailer};
use crate::engine::base::tree::{Attributes, Kind, Meta, Node, NodeId, Time, Tree, TreePath};
use crate::engine::base::{Content, Error, Kind as ErrorKind, SectorSource, StreamSink};

/// Bytes read at once.
const BATCH: u64 = 1 << 20;

/// What the fields of a ustar header hold at most: 7 and 11 octal digits.
const MOST_ID: u32 = 0o777_7777;
const MOST_SIZE: u64 = 0o777_7777_7777;

/// Bytes of a name that need no extended header.
const MOST_NAME: usize = 100;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Members, the extended headers not counted.
    pub members: u64,
    /// Sockets that were left out.
    pub sockets: u64,
}

/// Writes what lies at `from` to `sink`: a directory's entries below `./`, anything else by its
/// name `name`. `check` is asked before every member and every mebibyte whether to go on.
pub fn write_tree(
    tree: &Tree,
    from: NodeId,
    name: &[u8],
    sink: &mut dyn StreamSink,
    check: &dyn Fn() -> Result<(), Error>,
) -> Result<Written, Error> {
    let mut writer = Members {
        tree,
        sink,
        check,
        len: 0,
        first: vec![None; tree.rows()],
        written: Written::default(),
    };
    if tree.node(from).kind.is_directory() {
        let mut open = vec![(b"./".to_vec(), from)];
        while let Some((path, id)) = open.pop() {
            writer.member(&path, id)?;
            let entries = tree.node(id).entries().into_iter().flatten();
            open.extend(entries.rev().map(|(name, child)| {
                let slash: &[u8] = if tree.node(*child).kind.is_directory() { b"/" } else { b"" };
                ([&path, name.as_bytes(), slash].concat(), *child)
            }));
        }
    } else {
        writer.member(name, from)?;
    }
    writer.zeros(trailer(writer.len))?;
    Ok(writer.written)
}

struct Members<'a> {
    tree: &'a Tree,
    sink: &'a mut dyn StreamSink,
    check: &'a dyn Fn() -> Result<(), Error>,
    len: u64,
    /// Where a node was written that has several names.
    first: Vec<Option<Box<[u8]>>>,
    written: Written,
}

/// What a header says beside its name and its node's metadata.
struct Says<'a> {
    entry: tar::EntryType,
    link: &'a [u8],
    size: u64,
    device: Option<(u32, u32)>,
}

impl Members<'_> {
    fn member(&mut self, path: &[u8], id: NodeId) -> Result<(), Error> {
        (self.check)()?;
        let node = self.tree.node(id);
        let says = |entry| Says { entry, link: b"", size: 0, device: None };
        if node.names() > 1
            && !node.kind.is_directory()
            && let Some(row) = self.first.get_mut(id.index())
        {
            if let Some(first) = row.clone() {
                return self.header(
                    path,
                    node,
                    &Says { link: &first, ..says(tar::EntryType::Link) },
                );
            }
            *row = Some(path.into());
        }
        match &node.kind {
            Kind::Directory(_) => self.header(path, node, &says(tar::EntryType::Directory)),
            Kind::Symlink(link) => {
                self.header(path, node, &Says { link, ..says(tar::EntryType::Symlink) })
            }
            Kind::Fifo => self.header(path, node, &says(tar::EntryType::Fifo)),
            Kind::CharDevice(device) => {
                let device = Some((device.major, device.minor));
                self.header(path, node, &Says { device, ..says(tar::EntryType::Char) })
            }
            Kind::BlockDevice(device) => {
                let device = Some((device.major, device.minor));
                self.header(path, node, &Says { device, ..says(tar::EntryType::Block) })
            }
            Kind::Socket => {
                self.written.sockets += 1;
                Ok(())
            }
            Kind::File(content) => {
                let size = content.len();
                self.header(path, node, &Says { size, ..says(tar::EntryType::Regular) })?;
                self.body(content)?;
                self.zeros(padding(size))
            }
        }
    }

    fn header(&mut self, path: &[u8], node: &Node, says: &Says<'_>) -> Result<(), Error> {
        self.written.members += 1;
        let attributes = node.attributes.as_deref();
        self.raw(&whole_header(path, &node.meta, attributes, says)?)
    }

    fn body(&mut self, content: &Content) -> Result<(), Error> {
        let source: &dyn SectorSource = match content {
            Content::Bytes(bytes) => return self.raw(bytes),
            Content::Sectors(source) => source.as_ref(),
            Content::Late(_) => {
                let message = "bytes that depend on their place have none in an archive";
                return Err(Error::new(ErrorKind::Document, message));
            }
        };
        let mut at = 0;
        let mut buffer = Vec::new();
        while at < source.len() {
            let data = source.next_extent(at).filter(|extent| extent.start() < source.len());
            let start = data.map_or(source.len(), |extent| extent.start().max(at));
            self.zeros(start - at)?;
            at = start;
            let end = data.map_or(at, |extent| extent.end().min(source.len()));
            while at < end {
                (self.check)()?;
                buffer.resize((end - at).min(BATCH) as usize, 0);
                source.read_at(at, &mut buffer)?;
                self.raw(&buffer)?;
                at += buffer.len() as u64;
            }
        }
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> Result<(), Error> {
        let zeros = vec![0; count.min(BATCH) as usize];
        let mut left = count;
        while left > 0 {
            (self.check)()?;
            let now = left.min(BATCH);
            self.raw(zeros.get(..now as usize).unwrap_or_default())?;
            left -= now;
        }
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.write(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// What stands before the body of a file of `size` bytes, or is all of a directory where that is
/// None. A directory's path ends with a slash.
pub fn head(path: &str, meta: &Meta, size: Option<u64>) -> Result<Vec<u8>, Error> {
    let entry = if size.is_some() { tar::EntryType::Regular } else { tar::EntryType::Directory };
    let says = Says { entry, link: b"", size: size.unwrap_or(0), device: None };
    whole_header(path.as_bytes(), meta, None, &says)
}

/// The header of a member, with the extended one before it where that is needed.
fn whole_header(
    path: &[u8],
    meta: &Meta,
    attributes: Option<&Attributes>,
    says: &Says<'_>,
) -> Result<Vec<u8>, Error> {
    let mut whole = Vec::new();
    let records = records(path, meta, attributes, says);
    if !records.is_empty() {
        let size = records.len() as u64;
        let entry = tar::EntryType::XHeader;
        let extension = Says { entry, link: b"", size, device: None };
        let own = Meta::file(Time::default());
        whole.extend_from_slice(&header(b"./PaxHeaders/member", &own, &extension)?);
        whole.extend_from_slice(&records);
        whole.resize(whole.len() + padding(size) as usize, 0);
    }
    whole.extend_from_slice(&header(path, meta, says)?);
    Ok(whole)
}

/// A ustar header (POSIX.1-2017, pax, "ustar Interchange Format"). What does not fit is cut: the
/// extended header before it has it whole.
fn header(path: &[u8], meta: &Meta, says: &Says<'_>) -> Result<[u8; BLOCK as usize], Error> {
    let mut header = tar::Header::new_ustar();
    if let Some(ustar) = header.as_ustar_mut() {
        put(&mut ustar.name, path);
        put(&mut ustar.linkname, says.link);
    }
    header.set_entry_type(says.entry);
    header.set_mode(u32::from(meta.mode));
    header.set_uid(u64::from(meta.uid.min(MOST_ID)));
    header.set_gid(u64::from(meta.gid.min(MOST_ID)));
    header.set_size(says.size.min(MOST_SIZE));
    header.set_mtime(u64::try_from(meta.modified.seconds).unwrap_or(0).min(MOST_SIZE));
    if let Some((major, minor)) = says.device {
        if major > MOST_ID || minor > MOST_ID {
            let message = format!(
                "\"{}\" is the device {major}:{minor}; a tar holds numbers up to {MOST_ID}",
                path.escape_ascii()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let fail = |e| Error::io("the numbers of a device in a tar archive", e);
        header.set_device_major(major).map_err(fail)?;
        header.set_device_minor(minor).map_err(fail)?;
    }
    header.set_cksum();
    Ok(*header.as_bytes())
}

fn put(field: &mut [u8], text: &[u8]) {
    field.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
}

/// What the header cannot say (POSIX.1-2017, pax, "pax Extended Header"; attributes as GNU tar and
/// star write them).
fn records(path: &[u8], meta: &Meta, attributes: Option<&Attributes>, says: &Says<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        // The length counts its own digits.
        let rest = 3 + key.len() + value.len();
        let mut len = rest + 1;
        while rest + len.to_string().len() != len {
            len = rest + len.to_string().len();
        }
        records.extend_from_slice(len.to_string().as_bytes());
        [b" ", key, b"=", value, b"\n"].iter().for_each(|part| records.extend_from_slice(part));
    };
    if path.len() > MOST_NAME {
        add(b"path", path);
    }
    if says.link.len() > MOST_NAME {
        add(b"linkpath", says.link);
    }
    if says.size > MOST_SIZE {
        add(b"size", says.size.to_string().as_bytes());
    }
    for (key, id) in [(b"uid", meta.uid), (b"gid", meta.gid)] {
        if id > MOST_ID {
            add(key, id.to_string().as_bytes());
        }
    }
    if let Some(time) = time(meta.modified) {
        add(b"mtime", time.as_bytes());
    }
    if says.entry != tar::EntryType::Link {
        for (name, value) in attributes.into_iter().flatten() {
            add(&[b"SCHILY.xattr.", &**name].concat(), value);
        }
    }
    records
}

/// A time as a decimal number, where the header's whole seconds are not enough.
fn time(time: Time) -> Option<String> {
    let Time { seconds, nanos } = time;
    if nanos == 0 && (0..=MOST_SIZE as i64).contains(&seconds) {
        return None;
    }
    // Nanoseconds count upwards from the second: -1.5 s is second -2 and half a second.
    let all = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let sign = if all < 0 { "-" } else { "" };
    let (whole, rest) = (all.unsigned_abs() / 1_000_000_000, all.unsigned_abs() % 1_000_000_000);
    let text = format!("{sign}{whole}.{rest:09}");
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// The name of a file that is written by itself.
#[must_use]
pub fn own_name(path: &TreePath) -> &[u8] {
    path.names().last().map_or(b"file", |name| name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_decimal_numbers_where_the_header_is_too_small() {
        for (seconds, nanos, text) in [
            (0, 0, None),
            (5, 0, None),
            (5, 120_000_000, Some("5.12")),
            (-2, 500_000_000, Some("-1.5")),
            (-3, 0, Some("-3")),
            (1 << 33, 0, Some("8589934592")),
        ] {
            assert_eq!(time(Time { seconds, nanos }).as_deref(), text, "{seconds} {nanos}");
        }
    }
}
