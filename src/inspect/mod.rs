//! Bytes to a readable map: what an image file is, and what lies in it.
//!
//! Opens the one source it is given and nothing that is named in it; writes nothing. Invariant: a
//! report has a bounded size, whatever the file says; the data is read twice (digest, map), holes never.

mod boot;
mod content;
mod drawing;
mod report;

use std::sync::Arc;

use crate::engine::base::{Deny, Error, Extent, SectorSource};
use crate::engine::format::{self, FormatName, Image};
use crate::engine::view::{self, Volume};

pub use boot::{
    Answer, Boot, CatalogEntry, Code, Grub, Initrd, Kernel, Menu, Program, Record, Ways,
};
pub use report::{BootSector, Content, Mapped, NAMES, Range, Report};

/// Columns of the drawn map where nobody says how many there are.
pub const WIDTH: usize = 64;

/// Looks into `source`, a file of this format (see `engine::format::detect`).
pub fn inspect(source: Arc<dyn SectorSource>, format: FormatName) -> Result<Report, Error> {
    let image = format::open(Arc::clone(&source), format, &Deny)?;
    inspect_image(&*source, &image, WIDTH)
}

/// Looks into an open image, which came from `file`. The map is drawn in `width` columns.
pub fn inspect_image(
    file: &dyn SectorSource,
    image: &Arc<dyn Image>,
    width: usize,
) -> Result<Report, Error> {
    let medium: Arc<dyn SectorSource> = Arc::<dyn Image>::clone(image);
    let view = view::look(&medium)?;
    let told = |volume: &Volume| volume.filesystem.is_some() || volume.problem.is_some();
    Ok(Report {
        format: image.format(),
        file_size: file.len(),
        virtual_size: image.len(),
        allocated: file.extents().map(Extent::len).sum(),
        details: image.details(),
        units: image.census()?,
        content: content::look(image.as_ref(), width)?,
        boot: boot::look(&medium, &view),
        partitions: view.table,
        filesystems: view.volumes.into_iter().filter(told).collect(),
    })
}

/// Which ranges of the disk may hold data, all of them from the first byte to the last.
#[must_use]
pub fn map(image: &dyn Image) -> Vec<Mapped> {
    let mut ranges = Vec::new();
    let mut at = 0;
    let mut add = |start: u64, end: u64, data: bool| {
        if start < end {
            ranges.push(Mapped { start, length: end - start, data });
        }
    };
    for extent in image.extents() {
        add(at, extent.start(), false);
        add(extent.start(), extent.end(), true);
        at = extent.end();
    }
    add(at, image.len(), false);
    ranges
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::base::{ByteSource, MemorySink, Silent, Work};
    use crate::engine::format::{Census, qcow2};

    /// A disk of 1 MiB with a boot sector, and a byte in the middle.
    fn disk() -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        bytes[..3].copy_from_slice(b"\xeb\xfe\x90");
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes[300_000] = 1;
        bytes
    }

    #[test]
    fn raw_and_qcow2_of_one_disk_have_one_content() {
        let raw = inspect(Arc::new(ByteSource::new(disk())), FormatName::Raw).unwrap();
        assert_eq!((raw.file_size, raw.virtual_size, raw.allocated), (1 << 20, 1 << 20, 1 << 20));
        assert_eq!(
            raw.content.data,
            [Range { start: 0, end: 512 }, Range { start: 299_520, end: 300_032 }]
        );
        assert!(raw.content.boot_signature);
        assert_eq!(raw.content.boot_sector, Some(BootSector::Program));

        let sink = MemorySink::default();
        let params = qcow2::Params::compressed(qcow2::Compression::Zstd);
        qcow2::write(
            &ByteSource::new(disk()),
            &sink,
            &params,
            &Work { threads: 1, progress: &Silent },
        )
        .unwrap();
        let file = ByteSource::new(sink.into_bytes());
        let report = inspect(Arc::new(file), FormatName::Qcow2).unwrap();
        assert_eq!(report.content, raw.content);
        assert_eq!(report.details["features"], json!(["compression type"]));
        let Census { unit, data, compressed, zero, unallocated } = report.units;
        assert_eq!((unit, data, compressed, zero, unallocated), (65_536, 0, 2, 0, 14));
    }

    #[test]
    fn reports_read_well_as_text_and_json() {
        let sink = MemorySink::default();
        let params = qcow2::Params::default();
        qcow2::write(
            &ByteSource::new(disk()),
            &sink,
            &params,
            &Work { threads: 1, progress: &Silent },
        )
        .unwrap();
        let file = ByteSource::new(sink.into_bytes());
        let report = inspect(Arc::new(file), FormatName::Qcow2).unwrap();
        // sha256sum of the disk above:
        // python3 -c 'import sys; b=bytearray(1<<20); b[:3]=b"\xeb\xfe\x90"; b[510:512]=b"\x55\xaa"
        //   b[300000]=1; sys.stdout.buffer.write(b)' | sha256sum
        let digest = "2fe491f69f4035b68e1ea1422f94f92007ab060bc43b2015b8dc324b60be86c0";
        let text = report.text(false);
        for line in [
            "format          qcow2\n",
            "file size       458752 bytes, 458752 allocated\n",
            "virtual size    1048576 bytes (1Mi)\n",
            "cluster size    65536\n",
            "refcount bits   16\n",
            "units           65536 bytes each: 2 data, 14 unallocated\n",
            &format!("digest          sha256:{digest}\n"),
            "boot sector     program (signature 55 AA)\n",
            "data            1024 bytes in 2 runs\n                0..512\n                299520..300032\n",
            "map             -",
        ] {
            let squeezed = |text: &str| text.replace(' ', "");
            assert!(squeezed(&text).contains(&squeezed(line)), "{line}: {text}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["format"], "qcow2");
        assert_eq!(json["virtualSize"], 1 << 20);
        assert_eq!(json["content"]["digest"], format!("sha256:{digest}"));
        assert_eq!(json["content"]["bootSector"], "program");
        assert_eq!(json["units"]["data"], 2);
        assert_eq!(json["details"]["clusterSize"], 65_536);
    }

    #[test]
    fn a_map_covers_the_disk_without_gaps() {
        let params = qcow2::Params::default();
        let sink = MemorySink::default();
        let work = Work { threads: 1, progress: &Silent };
        qcow2::write(&ByteSource::new(disk()), &sink, &params, &work).unwrap();
        let file = Arc::new(ByteSource::new(sink.into_bytes()));
        let image = format::open(file, FormatName::Qcow2, &Deny).unwrap();
        let seen: Vec<_> = map(&*image).iter().map(|m| (m.start, m.length, m.data)).collect();
        let kib = |n: u64| n << 10;
        let wanted = [
            (0, kib(64), true),
            (kib(64), kib(192), false),
            (kib(256), kib(64), true),
            (kib(320), kib(704), false),
        ];
        assert_eq!(seen, wanted);
    }
}
