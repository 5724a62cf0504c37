//! What our reader sees: in our images, in those of `mkfs.btrfs`, and in damaged ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vmimage::engine::base::tree::{Kind, Limits, Tree};
use vmimage::engine::base::{ByteSource, Content, FileSource, SectorSource};
use vmimage::engine::filesystem::{btrfs, look, read};

use super::sample::{
    FIT, bytes, full, link, many, noise, planned, put, rendered, set, tree, write,
};
use super::tool::run;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn open(path: &Path) -> Arc<dyn SectorSource> {
    Arc::new(FileSource::open(path).unwrap())
}

/// What a tree says of each path; files by their extents' bytes.
fn listing(tree: &Tree) -> BTreeMap<String, String> {
    let mut first = BTreeMap::new();
    let mut listed = BTreeMap::new();
    for step in tree.walk() {
        let node = tree.node(step.node);
        let path = step.path.to_string();
        let same = first.entry(step.node).or_insert_with(|| path.clone()).clone();
        let kind = match &node.kind {
            Kind::File(content) => format!("file {} {:08x}", content.len(), sum(content)),
            Kind::Directory(_) => "directory".to_owned(),
            other => format!("{other:?}"),
        };
        let line = format!("{kind} {:?} {:?} {} {same}", node.meta, node.attributes, node.names());
        listed.insert(path, line);
    }
    listed
}

/// The checksum of what is not zero, with its place.
fn sum(content: &Content) -> u32 {
    let source: Arc<dyn SectorSource> = match content {
        Content::Bytes(bytes) => Arc::new(ByteSource::new(Arc::clone(bytes))),
        Content::Sectors(source) => Arc::clone(source),
        Content::Late(_) => unreachable!(),
    };
    let mut sum = 0;
    let mut buffer = vec![0; 4096];
    for extent in source.extents() {
        let mut at = extent.start() / 4096 * 4096;
        while at < extent.end() {
            let len = (source.len() - at).min(4096) as usize;
            source.read_at(at, &mut buffer[..len]).unwrap();
            if buffer[..len].iter().any(|byte| *byte != 0) {
                sum = crc32c::crc32c_append(sum, &at.to_le_bytes());
                sum = crc32c::crc32c_append(sum, &buffer[..len]);
            }
            at += 4096;
        }
    }
    sum
}

fn image(tree: &Arc<Tree>, params: btrfs::Params) -> Arc<dyn SectorSource> {
    rendered(planned(tree, params, "our label", FIT).unwrap())
}

#[test]
fn what_we_write_is_read_back() {
    for tree in [tree(), full(), many(5000)] {
        let tree = Arc::new(tree);
        for (size, mixed) in [(4096, false), (16384, false), (65536, false), (4096, true)] {
            let params = btrfs::Params { node_size: Some(size), mixed, ..btrfs::Params::default() };
            let medium = image(&tree, params);
            let seen = read(&medium, &Limits::default()).unwrap().unwrap();
            assert_eq!(listing(&seen), listing(&tree));
            let facts = look(medium.as_ref()).unwrap().unwrap();
            assert_eq!((facts.kind, facts.label.as_deref()), ("btrfs", Some("our label")));
            assert_eq!((facts.size, facts.block_size), (medium.len(), 4096));
        }
    }
}

/// A directory with files of all sorts, for `mkfs.btrfs`.
fn directory(root: &Path) {
    fs_err::create_dir_all(root.join("a/b/c")).unwrap();
    for (name, len) in [("empty", 0), ("small", 100), ("middle", 5000), ("large", 2_000_000)] {
        fs_err::write(root.join("a").join(name), noise(len, len as u64)).unwrap();
    }
    fs_err::write(root.join("holes"), b"x").unwrap();
    let holes = fs_err::OpenOptions::new().write(true).open(root.join("holes")).unwrap();
    holes.set_len(10 << 20).unwrap();
    fs_err::hard_link(root.join("a/middle"), root.join("a/b/again")).unwrap();
    std::os::unix::fs::symlink("a/middle", root.join("link")).unwrap();
    (0..2000).for_each(|n| fs_err::write(root.join(format!("a/b/c/{n}")), b"").unwrap());
    run("coreutils", "mkfifo", &[text(&root.join("fifo"))]);
    run("attr", "setfattr", &["-n", "user.a", "-v", "value", text(&root.join("a/small"))]);
}

#[test]
fn what_mkfs_makes_of_a_directory_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("root");
    directory(&root);
    let path = scratch.path().join("image");
    let own: [&[&str]; 5] = [
        &[],
        &["-m", "single", "-n", "4096"],
        &["-m", "dup", "-d", "dup"],
        &["--mixed", "-n", "4096"],
        &["-R", "^free-space-tree", "-O", "^no-holes", "-n", "65536"],
    ];
    for arguments in own {
        fs_err::File::create(&path).unwrap().set_len(300 << 20).unwrap();
        let ends = ["-q", "-L", "theirs", "--rootdir", text(&root), text(&path)];
        run("btrfs-progs", "mkfs.btrfs", &[arguments, &ends].concat());
        let medium = open(&path);
        let facts = look(medium.as_ref()).unwrap().unwrap();
        assert_eq!(facts.label.as_deref(), Some("theirs"));
        let uuid = run("util-linux", "blkid", &["-p", "-s", "UUID", "-o", "value", text(&path)]);
        assert_eq!(facts.uuid.as_deref(), Some(uuid.trim()));
        let seen = read(&medium, &Limits::default()).unwrap().unwrap();
        assert_eq!(paths(&seen), host_paths(&root), "{arguments:?}");
    }
}

type Seen = BTreeMap<PathBuf, (u32, u64, i64, Vec<u8>)>;

/// Path, mode, length, time and bytes of everything in a tree.
fn paths(tree: &Tree) -> Seen {
    let mut seen = Seen::new();
    for step in tree.walk().skip(1) {
        let node = tree.node(step.node);
        let bytes = match &node.kind {
            Kind::Symlink(target) => target.to_vec(),
            Kind::File(Content::Sectors(source)) => {
                let mut bytes = vec![0; source.len() as usize];
                source.read_at(0, &mut bytes).unwrap();
                bytes
            }
            _ => Vec::new(),
        };
        let path = step.path.to_string().trim_start_matches('/').into();
        let found = (node.meta.mode.into(), bytes.len() as u64, node.meta.modified.seconds, bytes);
        seen.insert(path, found);
        if step.path.to_string() == "/a/small" {
            let attributes = node.attributes.as_ref().unwrap();
            assert_eq!(attributes.get(&b"user.a"[..]).unwrap()[..], b"value"[..]);
        }
        if step.path.to_string() == "/a/middle" {
            assert_eq!(node.names(), 2);
        }
    }
    seen
}

/// The same of a directory of the host.
fn host_paths(root: &Path) -> Seen {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    let (mut seen, mut open) = (Seen::new(), vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs_err::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs_err::symlink_metadata(&path).unwrap();
            let bytes = match meta.file_type() {
                kind if kind.is_symlink() => {
                    fs_err::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
                }
                kind if kind.is_file() => fs_err::read(&path).unwrap(),
                _ => Vec::new(),
            };
            let name = path.strip_prefix(root).unwrap().to_owned();
            seen.insert(name, (meta.mode() & 0o7777, bytes.len() as u64, meta.mtime(), bytes));
            open.extend(meta.is_dir().then_some(path));
        }
    }
    seen
}

/// Changes a node and makes its checksum right again.
fn renew(node: &mut [u8]) {
    let sum = crc32c::crc32c(&node[32..]);
    node[..4].copy_from_slice(&sum.to_le_bytes());
}

fn node_of(image: &[u8], size: usize, owner: u64) -> usize {
    let at = (1 << 20..image.len()).step_by(size);
    let is = |at: &usize| {
        let header = &image[*at..*at + 101];
        header[88..96] == owner.to_le_bytes() && header[48..56] == (*at as u64).to_le_bytes()
    };
    at.into_iter().find(is).unwrap()
}

/// Compressed extents that were put into one of our images are read as `btrfs restore` reads them.
#[test]
fn compressed_extents_are_read_as_btrfs_restore_reads_them() {
    let scratch = tempfile::tempdir().unwrap();
    let plain: Vec<u8> =
        b"compressed, again and again; ".iter().copied().cycle().take(100_000).collect();
    let source = scratch.path().join("plain");
    fs_err::write(&source, &plain).unwrap();
    let mut zlib = flate2_stream(&source);
    let mut zstd_frame = {
        run(
            "zstd",
            "zstd",
            &["-q", "-f", "--no-check", text(&source), "-o", text(&scratch.path().join("z"))],
        );
        fs_err::read(scratch.path().join("z")).unwrap()
    };
    for (method, packed) in [(1, &mut zlib), (3, &mut zstd_frame)] {
        packed.resize(8192, 0);
        let mut tree = tree();
        put(&mut tree, "file", bytes(packed));
        let path = scratch.path().join("image");
        let params = btrfs::Params { node_size: Some(4096), ..btrfs::Params::default() };
        let medium = rendered(planned(&Arc::new(tree), params, "x", FIT).unwrap());
        write(&path, medium.as_ref(), 1 << 20);
        let mut image = fs_err::read(&path).unwrap();
        let at = node_of(&image, 4096, 5);
        let node = &mut image[at..at + 4096];
        // The last items: their data come first.
        let count = u32::from_le_bytes(node[96..100].try_into().unwrap()) as usize;
        let head = 101 + 25 * (count - 1);
        assert_eq!(node[head + 8], 108);
        let data =
            101 + u32::from_le_bytes(node[head + 17..head + 21].try_into().unwrap()) as usize;
        let rounded = 100_000u64.next_multiple_of(4096);
        node[data + 8..data + 16].copy_from_slice(&rounded.to_le_bytes());
        node[data + 16] = method;
        node[data + 45..data + 53].copy_from_slice(&rounded.to_le_bytes());
        let inode = (0..count).map(|n| 101 + 25 * n).rfind(|head| node[head + 8] == 1).unwrap();
        let inode =
            101 + u32::from_le_bytes(node[inode + 17..inode + 21].try_into().unwrap()) as usize;
        node[inode + 16..inode + 24].copy_from_slice(&100_000u64.to_le_bytes());
        renew(node);
        fs_err::write(&path, &image).unwrap();
        let out = scratch.path().join(format!("out{method}"));
        fs_err::create_dir(&out).unwrap();
        run("btrfs-progs", "btrfs", &["restore", text(&path), text(&out)]);
        assert!(fs_err::read(out.join("file")).unwrap() == plain, "restored");
        let seen = read(&open(&path), &Limits::default()).unwrap().unwrap();
        let (_, _, _, ours) = &paths(&seen)[Path::new("file")];
        assert!(*ours == plain, "ours, method {method}");
    }
}

/// A zlib stream as Python makes it.
fn flate2_stream(path: &Path) -> Vec<u8> {
    let script =
        "import sys, zlib; sys.stdout.write(zlib.compress(open(sys.argv[1], 'rb').read()).hex())";
    hex::decode(run("python3", "python3", &["-c", script, text(path)])).unwrap()
}

/// A small image, and a few of everything in it.
fn victim() -> Vec<u8> {
    let mut tree = tree();
    let file = put(&mut tree, "d/file", bytes(&noise(9000, 1)));
    link(&mut tree, "again", file);
    set(&mut tree, file, b"user.a", b"value");
    put(&mut tree, "small", bytes(b"small"));
    put(&mut tree, "link", Kind::Symlink((*b"small").into()));
    let params = btrfs::Params { mixed: true, ..btrfs::Params::default() };
    let medium = image(&Arc::new(tree), params);
    let mut whole = vec![0; medium.len() as usize];
    medium.read_at(0, &mut whole).unwrap();
    whole
}

#[derive(Debug)]
struct Flipped<'a> {
    image: &'a [u8],
    /// Bytes that are others, from here on.
    at: u64,
    node: Vec<u8>,
}

impl SectorSource for Flipped<'static> {
    fn len(&self) -> u64 {
        self.image.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), vmimage::engine::base::Error> {
        vmimage::engine::base::read_exact_at(self.image, offset, buffer)?;
        let end = offset + buffer.len() as u64;
        let (from, to) = (self.at.max(offset), (self.at + self.node.len() as u64).min(end));
        if from < to {
            let part = &self.node[(from - self.at) as usize..(to - self.at) as usize];
            buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<vmimage::engine::base::Extent> {
        vmimage::engine::base::Extent::new(offset, self.image.len() as u64)
    }
}

/// Reads everything; what fails, fails with an error.
fn all(medium: Arc<dyn SectorSource>) -> Result<(), vmimage::engine::base::Error> {
    let limits = Limits { file: 1 << 24, total: 1 << 24, ..Limits::default() };
    let Some(tree) = read(&medium, &limits)? else { return Ok(()) };
    for step in tree.walk() {
        if let Kind::File(Content::Sectors(source)) = &tree.node(step.node).kind {
            let mut bytes = vec![0; source.len() as usize];
            source.read_at(0, &mut bytes)?;
        }
    }
    Ok(())
}

/// Every byte of what the reader reads, changed: noticed where there is a checksum, and survived
/// where the checksum was made right again.
#[test]
fn every_flipped_byte_is_noticed_and_survived() {
    let image: &'static [u8] = victim().leak();
    all(Arc::new(ByteSource::new(image))).unwrap();
    let chunk_tree = node_of(image, 4096, 3);
    let places = [0x1_0000, chunk_tree, node_of(image, 4096, 1), node_of(image, 4096, 5)];
    for place in places {
        for at in 0..4096 {
            // Nobody checks what is not written.
            let mut node = image[place..place + 4096].to_vec();
            node[at] ^= 1 << (at % 8);
            let flipped = Flipped { image, at: place as u64, node: node.clone() };
            let noticed = all(Arc::new(flipped));
            // Behind the checksum's 4 bytes there are 28 that nobody uses; without its magic
            // it is no btrfs.
            let unused = (4..32).contains(&at) || (place == 0x1_0000 && (64..72).contains(&at));
            assert!(noticed.is_err() || unused, "byte {at} of {place}");
            for bits in [1u8 << (at % 8), 0xff] {
                node[at] = image[place + at] ^ bits;
                renew(&mut node);
                let flipped = Flipped { image, at: place as u64, node: node.clone() };
                let _ = all(Arc::new(flipped));
            }
        }
    }
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let image: &'static [u8] = victim().leak();
    let patched = |at: usize, bytes: &[u8]| {
        let mut node = image[0x1_0000..0x1_1000].to_vec();
        node[at..at + bytes.len()].copy_from_slice(bytes);
        renew(&mut node);
        let medium: Arc<dyn SectorSource> = Arc::new(Flipped { image, at: 0x1_0000, node });
        read(&medium, &Limits::default()).unwrap_err().to_string()
    };
    for (at, bytes, wanted) in [
        (0x60, &[0, 0, 1][..], "log was not replayed"),
        (0x88, &[2], "2 devices"),
        (0xbc + 2, &[1 << 4], "features 0x100000"),
        (0xc4, &[2], "SHA-256"),
    ] {
        let message = patched(at, bytes);
        assert!(message.contains(wanted), "{message}");
    }
    assert!(btrfs::look(&ByteSource::new(&[0; 100][..])).unwrap().is_none());
    let limits = Limits { nodes: 3, ..Limits::default() };
    let medium: Arc<dyn SectorSource> = Arc::new(ByteSource::new(image));
    assert!(read(&medium, &limits).unwrap_err().to_string().contains("more than 3"));
}
