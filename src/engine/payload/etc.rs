//! Texts of `/etc` that every system has: fstab, hosts, hostname.
//!
//! Substitutes nothing. Invariant: a value never makes a line or a column more than it should.

use std::net::IpAddr;

use crate::engine::base::tree::{Kind, Meta, Missing, Name, NodeId, Time, Tree, TreePath};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin};

/// A line of fstab(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted: `LABEL=root`, `UUID=...`, `/dev/ld0a`.
    pub device: String,
    /// Where; `none` for swap.
    pub at: String,
    /// The filesystem's type as the guest calls it.
    pub kind: String,
    /// Options; empty: `defaults`.
    pub options: Vec<String>,
    /// Whether dump(8) takes it.
    pub dump: u8,
    /// When it is checked: 1 for the root, 2 for others, 0 for never.
    pub pass: u8,
}

/// The text of fstab: columns in line, in the order that was given.
pub fn fstab(mounts: &[Mount]) -> Result<String, Error> {
    let mut rows = Vec::new();
    for mount in mounts {
        let options = match mount.options.is_empty() {
            true => "defaults".to_owned(),
            false => mount.options.join(","),
        };
        let fields = [&mount.device, &mount.at, &mount.kind, &options];
        let fields = fields.map(|field| column(field));
        let [device, at, kind, options] = fields;
        rows.push([device?, at?, kind?, options?, mount.dump.to_string(), mount.pass.to_string()]);
    }
    let mut widths = [0; 6];
    for row in &rows {
        for (width, field) in widths.iter_mut().zip(row) {
            *width = field.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let fields = row.iter().zip(widths).map(|(field, width)| format!("{field:<width$}"));
        text.push_str(fields.collect::<Vec<_>>().join(" ").trim_end());
        text.push('\n');
    }
    Ok(text)
}

/// A column: fstab(5) writes a space as `\040`.
fn column(field: &str) -> Result<String, Error> {
    if field.is_empty() || field.chars().any(|c| matches!(c, '\n' | '\r' | '\0')) {
        let message = format!(
            "\"{}\" is no column of fstab; it has one or more characters in one line",
            field.escape_debug()
        );
        return Err(Error::new(ErrorKind::Document, message));
    }
    let mut column = String::new();
    for c in field.chars() {
        match c {
            ' ' | '\t' | '\\' | '#' => column.push_str(&format!("\\{:03o}", u32::from(c))),
            c => column.push(c),
        }
    }
    Ok(column)
}

/// A line of hosts(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The address.
    pub address: IpAddr,
    /// Its names.
    pub names: Vec<String>,
}

/// The text of hosts(5): localhost for both families, the usual names of IPv6, and `entries`.
pub fn hosts(entries: &[Host]) -> Result<String, Error> {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                    ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
        .to_owned();
    for Host { address, names } in entries {
        let names = names.iter().map(|name| host(name)).collect::<Result<Vec<_>, _>>()?;
        text.push_str(&format!("{address}\t{}\n", names.join(" ")));
    }
    Ok(text)
}

/// The text of hostname(5).
pub fn hostname(name: &str) -> Result<String, Error> {
    Ok(format!("{}\n", host(name)?))
}

/// A name as RFC 1123 has it.
fn host(name: &str) -> Result<&str, Error> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        let message = format!(
            "\"{}\" is no host name; letters, digits and - in parts of 1 to 63 are allowed",
            name.escape_debug()
        );
        return Err(Error::new(ErrorKind::Document, message));
    }
    Ok(name)
}

/// Puts small nodes of root into a tree.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Their time.
    pub time: Time,
    /// The field they come from.
    pub origin: &'a Origin,
}

impl Place<'_> {
    /// Puts a node into a directory.
    pub(super) fn put(
        &self,
        tree: &mut Tree,
        parent: NodeId,
        name: &str,
        kind: Kind,
        mode: u16,
    ) -> Result<NodeId, Error> {
        let meta = Meta { mode, ..Meta::file(self.time) };
        let name = Name::new(name.as_bytes())?;
        tree.put(parent, name, kind, meta, self.origin).map_err(|e| e.at(self.origin))
    }

    /// Puts a text into the tree, mode 0644; directories on the way are made.
    pub fn text(&self, tree: &mut Tree, path: &TreePath, text: &str) -> Result<NodeId, Error> {
        let kind = Kind::File(Content::Bytes(text.as_bytes().into()));
        self.node(tree, path, kind, 0o644)
    }

    /// Puts a node into the tree; directories on the way are made.
    pub(super) fn node(
        &self,
        tree: &mut Tree,
        path: &TreePath,
        kind: Kind,
        mode: u16,
    ) -> Result<NodeId, Error> {
        let Some((parent, name)) = path.split() else {
            let message = "the root of a tree cannot be replaced";
            return Err(Error::new(ErrorKind::Document, message).at(self.origin));
        };
        let missing = Missing::Make(Meta::directory(self.time));
        let parent = tree.directory_at(&parent, missing, self.origin)?;
        let meta = Meta { mode, ..Meta::file(self.time) };
        tree.put(parent, name.clone(), kind, meta, self.origin).map_err(|e| e.at(self.origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_in_line_and_hold_spaces() {
        let mount = |device: &str, at: &str, kind: &str, options: &[&str], pass| Mount {
            device: device.into(),
            at: at.into(),
            kind: kind.into(),
            options: options.iter().map(|&option| option.into()).collect(),
            dump: 0,
            pass,
        };
        let text = fstab(&[
            mount("LABEL=slim-rootfs", "/", "ext4", &["discard", "errors=remount-ro"], 1),
            mount("UUID=1A2B-3C4D", "/boot/my efi", "vfat", &[], 2),
        ]);
        let wanted = "LABEL=slim-rootfs /               ext4 discard,errors=remount-ro 0 1\n\
                      UUID=1A2B-3C4D    /boot/my\\040efi vfat defaults                  0 2\n";
        assert_eq!(text.unwrap(), wanted);
        for bad in ["", "a\nb"] {
            assert!(fstab(&[mount(bad, "/", "ext4", &[], 1)]).is_err());
        }
        assert_eq!(fstab(&[]).unwrap(), "");
    }

    #[test]
    fn hosts_have_names() {
        assert_eq!(hostname("slim").unwrap(), "slim\n");
        let of = |name: &str| {
            let names = vec![name.to_owned(), "a".to_owned()];
            hosts(&[Host { address: IpAddr::from([127, 0, 1, 1]), names }])
        };
        assert!(of("a.example").unwrap().ends_with("127.0.1.1\ta.example a\n"));
        for bad in ["", "-a", "a b", "a..b", "a\n127.0.0.1 b", &"a".repeat(64)] {
            assert!(of(bad).is_err() && hostname(bad).is_err(), "{bad}");
        }
    }
}
