//! What foreign tools write, and what nobody should, read by us.

use std::path::Path;
use std::sync::{Arc, Mutex};

use vmimage::engine::base::tree::{Limits, Tree};
use vmimage::engine::base::{ByteSource, FileSource, SectorSource};
use vmimage::engine::filesystem::{fat, look, read};

use crate::tool;
use crate::tree::{Ask, bytes, empty, noise, put, whole};

fn tree(path: &Path) -> Tree {
    let medium: Arc<dyn SectorSource> = Arc::new(FileSource::open(path).unwrap());
    read(&medium, &Limits::default()).unwrap().unwrap()
}

fn summed(bytes: &[u8]) -> (usize, u32) {
    (bytes.len(), crc32c::crc32c(bytes))
}

/// Paths, and length and checksum of the files.
fn contents(tree: &Tree) -> Vec<(String, Option<(usize, u32)>)> {
    use vmimage::engine::base::tree::Kind;
    let lines = tree.walk().skip(1).map(|step| {
        let content = match &tree.node(step.node).kind {
            Kind::File(vmimage::engine::base::Content::Sectors(source)) => {
                Some(summed(&whole(source.as_ref())))
            }
            _ => None,
        };
        (
            step.path
                .names()
                .iter()
                .map(|n| format!("/{}", String::from_utf8_lossy(n.as_bytes())))
                .collect(),
            content,
        )
    });
    lines.collect()
}

#[test]
fn volumes_of_mkfs_and_mcopy_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let host = directory.path().join("host");
    fs_err::create_dir_all(host.join("A directory/inner")).unwrap();
    let mut expected =
        vec![("/A directory".to_owned(), None), ("/A directory/inner".to_owned(), None)];
    for (name, len) in [
        ("A directory/inner/Long name of a file.text", 70_000),
        ("lower.txt", 5),
        ("UPPER.TXT", 2049),
        ("Grüße.txt", 0),
    ] {
        let content = noise(len, len as u64);
        fs_err::write(host.join(name), &content).unwrap();
        expected.push((format!("/{name}"), Some(summed(&content))));
    }
    expected.sort();
    for (bits, size, options) in [
        ("12", "2M", &[][..]),
        ("16", "40M", &["-s", "2"]),
        ("32", "80M", &["-s", "1"]),
        ("32", "300M", &["-S", "4096", "-s", "1"]),
    ] {
        let path = directory.path().join("volume");
        let text = path.to_str().unwrap();
        let _ = fs_err::remove_file(&path);
        fs_err::File::create(&path)
            .unwrap()
            .set_len(size.trim_end_matches('M').parse::<u64>().unwrap() << 20)
            .unwrap();
        let mut arguments = vec!["-F", bits, "-n", "LABEL", "-i", "12345678"];
        arguments.extend(options);
        arguments.push(text);
        tool::run("dosfstools", "mkfs.fat", &arguments);
        // A file that is gone leaves holes among the others.
        let first = host.join("A directory/inner/Long name of a file.text");
        let source = |name: &str| host.join(name).to_str().unwrap().to_owned();
        tool::run("mtools", "mcopy", &["-i", text, first.to_str().unwrap(), "::/gone"]);
        tool::run("mtools", "mcopy", &["-i", text, &source("lower.txt"), "::/lower.txt"]);
        tool::run("mtools", "mdel", &["-i", text, "::/gone"]);
        tool::run(
            "mtools",
            "env",
            &[
                "LC_ALL=C.UTF-8",
                "mcopy",
                "-s",
                "-i",
                text,
                &source("A directory"),
                &source("UPPER.TXT"),
                &source("Grüße.txt"),
                "::/",
            ],
        );
        assert_eq!(contents(&tree(&path)), expected, "FAT{bits}");
        let facts = look(&FileSource::open(&path).unwrap()).unwrap().unwrap();
        assert_eq!(
            (facts.label.as_deref(), facts.uuid.as_deref()),
            (Some("LABEL"), Some("1234-5678"))
        );
        assert_eq!(facts.features, [format!("FAT{bits}")]);
    }
}

#[test]
fn what_is_no_volume_is_none() {
    for bytes in [vec![0; 4096], vec![0xFF; 4096], noise(4096, 1), Vec::new()] {
        assert_eq!(look(&ByteSource::new(bytes)).unwrap(), None);
    }
}

/// A small volume with every sort of metadata, and how many of its first bytes are metadata.
fn small(bits: fat::Bits) -> Vec<u8> {
    let mut tree = empty();
    put(&mut tree, "A long file name", bytes(&noise(3000, 1)));
    put(&mut tree, "sub/inner/file", bytes(&noise(1500, 2)));
    let params = fat::Params { bits: Some(bits), root_entries: Some(32), ..fat::Params::default() };
    whole(Ask { params, ..Ask::default() }.volume(&Arc::new(tree)).as_ref())
}

/// A medium with one byte changed.
#[derive(Debug)]
struct Flipped {
    image: Arc<Vec<u8>>,
    at: u64,
    mask: u8,
    read: Mutex<u64>,
}

impl SectorSource for Flipped {
    fn len(&self) -> u64 {
        self.image.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), vmimage::engine::base::Error> {
        vmimage::engine::base::within(
            self.len(),
            offset,
            buffer.len(),
            vmimage::engine::base::Kind::Damaged,
        )?;
        *self.read.lock().unwrap() += buffer.len() as u64;
        buffer.copy_from_slice(&self.image[offset as usize..offset as usize + buffer.len()]);
        if let Some(place) = self.at.checked_sub(offset).and_then(|at| buffer.get_mut(at as usize))
        {
            *place ^= self.mask;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<vmimage::engine::base::Extent> {
        vmimage::engine::base::Extent::new(offset, self.len())
    }
}

#[test]
fn one_changed_byte_never_panics_and_ends() {
    let (mut refused, mut changed) = (0, 0);
    for bits in [fat::Bits::Twelve, fat::Bits::Sixteen] {
        let image = Arc::new(small(bits));
        let same = |at, mask| -> Arc<dyn SectorSource> {
            Arc::new(Flipped { image: Arc::clone(&image), at, mask, read: Mutex::new(0) })
        };
        let right = contents(&read(&same(0, 0), &Limits::default()).unwrap().unwrap());
        // All that is metadata, and of the rest that is zero a little.
        let used = |at: &usize| image[*at] != 0 || at.is_multiple_of(509) || *at < 512;
        let end = image.iter().rposition(|byte| *byte != 0).unwrap().min(40_000) + 1;
        for at in (0..end).filter(used).filter(|at| {
            *at < 3000 || at.is_multiple_of(7) || image[*at] < 0x80 && at.is_multiple_of(3)
        }) {
            for mask in [0xFF, 1, 0x80] {
                let medium = same(at as u64, mask);
                match read(&medium, &Limits::default()) {
                    Err(_) | Ok(None) => refused += 1,
                    Ok(Some(tree)) => changed += u32::from(contents(&tree) != right),
                }
                let _ = look(medium.as_ref());
            }
        }
    }
    assert!(refused > 50 && changed > 50, "{refused} {changed}");
}

/// Changes the entry of a cluster in the FAT of a FAT16 volume.
fn relinked(image: &[u8], cluster: usize, to: u16) -> Arc<dyn SectorSource> {
    let mut image = image.to_vec();
    let at = 512 * usize::from(u16::from_le_bytes([image[14], image[15]])) + cluster * 2;
    image[at..at + 2].copy_from_slice(&to.to_le_bytes());
    Arc::new(ByteSource::new(image))
}

#[test]
fn circles_crossings_and_bad_ends_are_refused() {
    let image = small(fat::Bits::Sixteen);
    // Clusters: the file's six are 2 to 7, then the directories' and the other file's.
    for (cluster, to, says) in [
        (3, 2, "which something else has, too"),
        (2, 2, "which something else has, too"),
        (4, 10, "which something else has, too"),
        (2, 0xFFF7, "followed by 65527"),
        (2, 0xFFFF, "its clusters end at 512"),
        (2, 0, "followed by 0"),
        (8, 2, "which something else has, too"),
    ] {
        let error =
            read(&relinked(&image, cluster, to), &Limits::default()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(says), "{cluster} -> {to}: {error}");
    }
    let limits = |nodes, depth, total| Limits { nodes, depth, total, ..Limits::default() };
    let medium: Arc<dyn SectorSource> = Arc::new(ByteSource::new(image));
    for (limits, says) in [
        (limits(2, 9, 1 << 20), "more than 2 files"),
        (limits(9, 1, 1 << 20), "deeper than 1 directories"),
        (limits(9, 9, 3500), "more than 3500 bytes"),
    ] {
        let error = read(&medium, &limits).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
