//! Trees of files that filesystems are tried with.
//!
//! Writes no filesystem. Invariant: the same tree every time; contents do not compress away.

use std::sync::Arc;

use vmimage::engine::base::tree::{
    Device, Kind, Meta, Missing, Name, NodeId, Time, Tree, TreePath,
};
use vmimage::engine::base::{ByteSource, Composed, Content, Extent, Origin, Region};

/// A moment with nanoseconds, in 2023.
pub(crate) const MOMENT: Time = Time { seconds: 1_700_000_001, nanos: 123_456_789 };

/// What the root directory has, and what nobody described.
pub(crate) const DIRECTORY: Meta = Meta { mode: 0o755, uid: 0, gid: 0, modified: MOMENT };

/// A tree that is being made.
pub(crate) struct Grower {
    pub(crate) tree: Tree,
    origin: Origin,
}

impl Grower {
    pub(crate) fn new() -> Self {
        let origin = Origin::new("spec.disk.partitions[0].contents[0]");
        Self { tree: Tree::new(DIRECTORY, origin.clone()), origin }
    }

    /// Puts a node at `path`; what is missing on the way is made.
    pub(crate) fn put(&mut self, path: &[u8], kind: Kind, meta: Meta) -> NodeId {
        let path = TreePath::new(path).unwrap();
        let (parent, name) = path.split().unwrap();
        let parent =
            self.tree.directory_at(&parent, Missing::Make(DIRECTORY), &self.origin).unwrap();
        self.tree.put(parent, name.clone(), kind, meta, &self.origin).unwrap()
    }

    /// A file of root's with these bytes.
    pub(crate) fn file(&mut self, path: &str, bytes: Vec<u8>) -> NodeId {
        self.put(path.as_bytes(), content(bytes), meta(0o644))
    }

    /// One more name for a node.
    pub(crate) fn link(&mut self, path: &str, node: NodeId) {
        let path = TreePath::new(path.as_bytes()).unwrap();
        let (parent, name) = path.split().unwrap();
        let parent =
            self.tree.directory_at(&parent, Missing::Make(DIRECTORY), &self.origin).unwrap();
        self.tree.link(parent, name.clone(), node).unwrap();
    }

    /// An extended attribute.
    pub(crate) fn attribute(&mut self, node: NodeId, name: &str, value: &[u8]) {
        let (_, attributes) = self.tree.meta_mut(node);
        attributes.get_or_insert_default().insert(name.as_bytes().into(), value.into());
    }
}

/// Root's, with this mode.
pub(crate) const fn meta(mode: u16) -> Meta {
    Meta { mode, uid: 0, gid: 0, modified: MOMENT }
}

/// A file's content.
pub(crate) fn content(bytes: Vec<u8>) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

/// Bytes that look random, the same for the same seed (xorshift64*).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A content of `len` bytes that is a hole but for `pieces` of noise of 10,000 bytes at offsets.
pub(crate) fn sparse(len: u64, pieces: &[u64]) -> Kind {
    let origin = Origin::new("sparse");
    let region = |at: &u64| Region {
        extent: Extent::new(*at, at + 10_000).unwrap(),
        content: Content::Bytes(noise(*at + 7, 10_000).into()),
        origin: origin.clone(),
    };
    Kind::File(Content::Sectors(Arc::new(Composed::new(len, pieces.iter().map(region).collect()))))
}

/// What every filesystem can hold, FAT too: directories and files.
pub(crate) fn simple() -> Grower {
    let mut grower = Grower::new();
    grower.file("empty", Vec::new());
    grower.file("one.byte", b"x".to_vec());
    grower.file("hello.txt", b"Hello World!\n".to_vec());
    grower.file("A Long Name With Spaces, and More.text", noise(1, 5000));
    grower.file("exactly-4096", noise(2, 4096));
    grower.file("deep/er/and/deeper/still/file.bin", noise(3, 70_000));
    grower.file(&format!("{}.txt", "n".repeat(240)), noise(4, 100));
    grower.file("large.bin", noise(5, 3_000_001));
    grower.put(b"empty directory", Kind::directory(), DIRECTORY);
    for number in 0..300 {
        let text = format!("file {number}\n");
        grower.file(&format!("many/entry-{number:04}"), text.into_bytes());
    }
    grower
}

/// The same and what a Unix filesystem holds beside.
pub(crate) fn unix() -> Grower {
    let mut grower = simple();
    let tool = grower.put(b"bin/tool", content(noise(6, 600_000)), meta(0o4755));
    for number in 0..150 {
        grower.link(&format!("bin/alias{number:03}"), tool);
    }
    let owned = Meta { mode: 0o640, uid: 70_000, gid: 100_000, ..meta(0) };
    grower.put(b"owned", content(b"mine\n".to_vec()), owned);
    grower.put(b"sticky", Kind::directory(), Meta { mode: 0o1777, ..DIRECTORY });
    grower.put(b"setgid", Kind::directory(), Meta { mode: 0o2775, gid: 50, ..DIRECTORY });
    let link = |target: &[u8]| Kind::Symlink(target.into());
    grower.put(b"short-link", link(b"hello.txt"), meta(0o777));
    grower.put(b"link-59", link(&[b'a'; 59]), meta(0o777));
    grower.put(b"link-60", link(&[b'b'; 60]), meta(0o777));
    grower.put(b"link-1000", link("c/".repeat(500).as_bytes()), meta(0o777));
    let device = |major, minor| Device { major, minor };
    grower.put(b"dev/null", Kind::CharDevice(device(1, 3)), meta(0o666));
    grower.put(b"dev/vda", Kind::BlockDevice(device(254, 0)), Meta { gid: 6, ..meta(0o660) });
    grower.put(b"dev/large", Kind::CharDevice(device(300, 70_000)), meta(0o600));
    grower.put(b"dev/pipe", Kind::Fifo, meta(0o600));
    grower.put(b"dev/socket", Kind::Socket, meta(0o755));
    let old = Meta { modified: Time { seconds: 1, nanos: 0 }, ..meta(0o600) };
    grower.put(b"old", content(b"1970\n".to_vec()), old);
    grower.put(b"not-utf8-\xff\xfe", content(b"bytes\n".to_vec()), meta(0o644));
    grower
}

/// The same and extended attributes, but no access lists, for which squashfs has no place.
pub(crate) fn named() -> Grower {
    let mut grower = unix();
    let file = grower.file("attributes/file", b"named\n".to_vec());
    grower.attribute(file, "user.comment", b"a comment");
    grower.attribute(file, "user.empty", b"");
    grower.attribute(file, "user.long", &noise(9, 900));
    grower.attribute(file, "trusted.note", b"\x00\x01\xff");
    grower.attribute(file, "security.selinux", b"system_u:object_r:etc_t:s0\0");
    // cap_net_bind_service, effective and permitted, as setcap writes it (revision 2).
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let able = grower.put(b"attributes/able", content(noise(10, 9000)), meta(0o755));
    grower.attribute(able, "security.capability", &capability);
    grower
}

/// The same and access lists.
pub(crate) fn attributed() -> Grower {
    let mut grower = named();
    // user::rw-, user:1000:r--, group::r--, mask::r--, other::--- in the form of system calls.
    let mut acl = 2_u32.to_le_bytes().to_vec();
    let none = u32::MAX;
    for (tag, rights, id) in
        [(1_u16, 6_u16, none), (2, 4, 1000), (4, 4, none), (0x10, 4, none), (0x20, 0, none)]
    {
        acl.extend(tag.to_le_bytes());
        acl.extend(rights.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    let shared = grower.put(b"attributes/shared", content(b"acl\n".to_vec()), meta(0o640));
    grower.attribute(shared, "system.posix_acl_access", &acl);
    let directory = grower.put(b"attributes/inherited", Kind::directory(), meta(0o750));
    grower.attribute(directory, "system.posix_acl_default", &acl);
    grower
}

/// A directory of `count` empty files.
pub(crate) fn crowd(count: usize) -> Grower {
    let mut grower = Grower::new();
    let crowd = grower.put(b"crowd", Kind::directory(), DIRECTORY);
    for number in 0..count {
        let name = Name::new(format!("member-{number:06}").as_bytes()).unwrap();
        let kind = Kind::File(Content::Sectors(Arc::new(ByteSource::new(&[][..]))));
        let origin = grower.origin.clone();
        grower.tree.put(crowd, name, kind, meta(0o644), &origin).unwrap();
    }
    grower
}
