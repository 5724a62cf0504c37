//! Device nodes that systems expect before anything of their own runs.
//!
//! Makes no other files than those in `/dev`. Invariant: a table is data; the same one gives the
//! same nodes on every machine.

use super::etc::Place;
use crate::engine::base::tree::{Device, Kind, Meta, Missing, Time, Tree, TreePath};
use crate::engine::base::{Error, Origin};

/// A set of device nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceSet {
    /// What a Linux without devtmpfs needs to come up.
    Linux,
    /// What a NetBSD without MAKEDEV needs to come up.
    NetBsd,
}

/// What a row is.
#[derive(Clone, Copy, Debug)]
enum Row {
    Char(u32, u32),
    Block(u32, u32),
    Link(&'static str),
    Directory,
}

/// Linux: Documentation/admin-guide/devices.txt.
const LINUX: &[(&str, Row, u16)] = &[
    ("console", Row::Char(5, 1), 0o600),
    ("fd", Row::Link("/proc/self/fd"), 0o777),
    ("full", Row::Char(1, 7), 0o666),
    ("hvc0", Row::Char(229, 0), 0o600),
    ("kmsg", Row::Char(1, 11), 0o600),
    ("null", Row::Char(1, 3), 0o666),
    ("ptmx", Row::Char(5, 2), 0o666),
    ("pts", Row::Directory, 0o755),
    ("random", Row::Char(1, 8), 0o666),
    ("shm", Row::Directory, 0o1777),
    ("stderr", Row::Link("/proc/self/fd/2"), 0o777),
    ("stdin", Row::Link("/proc/self/fd/0"), 0o777),
    ("stdout", Row::Link("/proc/self/fd/1"), 0o777),
    ("tty", Row::Char(5, 0), 0o666),
    ("tty0", Row::Char(4, 0), 0o600),
    ("tty1", Row::Char(4, 1), 0o600),
    ("ttyAMA0", Row::Char(204, 64), 0o600),
    ("ttyS0", Row::Char(4, 64), 0o600),
    ("ttyS1", Row::Char(4, 65), 0o600),
    ("ttyS2", Row::Char(4, 66), 0o600),
    ("ttyS3", Row::Char(4, 67), 0o600),
    ("urandom", Row::Char(1, 9), 0o666),
    ("zero", Row::Char(1, 5), 0o666),
];

/// NetBSD on i386 and amd64: majors of sys/arch/i386/conf/majors.i386 and sys/conf/majors; the nodes
/// are those that smolBSD makes, with the later numbers of its second disk.
const NETBSD: &[(&str, Row, u16)] = &[
    ("console", Row::Char(0, 0), 0o600),
    ("constty", Row::Char(0, 1), 0o600),
    ("drum", Row::Char(4, 0), 0o640),
    ("full", Row::Char(2, 11), 0o666),
    ("klog", Row::Char(7, 0), 0o600),
    ("kmem", Row::Char(2, 1), 0o640),
    ("ksyms", Row::Char(85, 0), 0o444),
    ("ld0a", Row::Block(19, 0), 0o640),
    ("ld1a", Row::Block(19, 8), 0o640),
    ("ld1d", Row::Block(19, 11), 0o640),
    ("mem", Row::Char(2, 0), 0o640),
    ("null", Row::Char(2, 2), 0o666),
    ("random", Row::Char(46, 0), 0o444),
    ("rld0a", Row::Char(69, 0), 0o640),
    ("rld1a", Row::Char(69, 8), 0o640),
    ("rld1d", Row::Char(69, 11), 0o640),
    ("stderr", Row::Char(22, 2), 0o666),
    ("stdin", Row::Char(22, 0), 0o666),
    ("stdout", Row::Char(22, 1), 0o666),
    ("tty", Row::Char(1, 0), 0o666),
    ("urandom", Row::Char(46, 1), 0o644),
    ("zero", Row::Char(2, 12), 0o666),
];

impl DeviceSet {
    /// The name, as documents spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::NetBsd => "netbsd",
        }
    }

    /// Puts the nodes into the directory at `at`, mostly `/dev`; all are root's.
    pub fn make(
        self,
        tree: &mut Tree,
        at: &TreePath,
        time: Time,
        origin: &Origin,
    ) -> Result<(), Error> {
        let table = match self {
            Self::Linux => LINUX,
            Self::NetBsd => NETBSD,
        };
        let place = Place { time, origin };
        let parent = tree.directory_at(at, Missing::Make(Meta::directory(time)), origin)?;
        for (name, row, mode) in table {
            let kind = match row {
                Row::Char(major, minor) => {
                    Kind::CharDevice(Device { major: *major, minor: *minor })
                }
                Row::Block(major, minor) => {
                    Kind::BlockDevice(Device { major: *major, minor: *minor })
                }
                Row::Link(target) => Kind::Symlink(target.as_bytes().into()),
                Row::Directory => Kind::directory(),
            };
            place.put(tree, parent, name, kind, *mode)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_their_numbers() {
        let origin = Origin::new("test");
        let time = Time { seconds: 7, nanos: 0 };
        for (set, path, wanted) in [
            (DeviceSet::Linux, "dev/ttyS1", "c 4,65 600"),
            (DeviceSet::Linux, "dev/null", "c 1,3 666"),
            (DeviceSet::NetBsd, "dev/ld1a", "b 19,8 640"),
            (DeviceSet::NetBsd, "dev/random", "c 46,0 444"),
        ] {
            let mut tree = Tree::new(Meta::directory(time), origin.clone());
            set.make(&mut tree, &TreePath::new(b"dev").unwrap(), time, &origin).unwrap();
            let node = tree.node(tree.find(&TreePath::new(path.as_bytes()).unwrap()).unwrap());
            let (kind, device) = match &node.kind {
                Kind::CharDevice(device) => ('c', device),
                Kind::BlockDevice(device) => ('b', device),
                other => panic!("{}", other.word()),
            };
            let mode = node.meta.mode;
            assert_eq!(format!("{kind} {},{} {mode:o}", device.major, device.minor), wanted);
            assert_eq!((node.meta.uid, node.meta.modified), (0, time));
        }
        assert!(LINUX.is_sorted_by_key(|row| row.0) && NETBSD.is_sorted_by_key(|row| row.0));
    }
}
