//! Bytes to a readable map: what an image file is, and what lies in it.
//!
//! Opens the one source it is given and nothing that is named in it; writes nothing. Invariant: a
//! report has a bounded size, whatever the file says; the data is read twice (digest, map), holes never.

mod content;
mod report;

use std::sync::Arc;

use crate::engine::base::{Deny, Error, Extent, SectorSource};
use crate::engine::format::{self, Census, FormatName, Image as _, qcow2};

pub use report::{BootSector, Clusters, Content, Qcow2, Range, Report};

/// Looks into `source`, a file of this format (see `engine::format::detect`).
pub fn inspect(source: Arc<dyn SectorSource>, format: FormatName) -> Result<Report, Error> {
    let file_size = source.len();
    let allocated = source.extents().map(Extent::len).sum();
    let (medium, qcow2) = match format {
        FormatName::Raw => (source, None),
        FormatName::Qcow2 => {
            let image = qcow2::Image::open(source)?;
            let details = details(image.header(), image.census()?);
            (Arc::new(image) as Arc<dyn SectorSource>, Some(details))
        }
        other => (format::open(source, other, &Deny)? as Arc<dyn SectorSource>, None),
    };
    let content = content::look(&*medium)?;
    Ok(Report { format, file_size, virtual_size: medium.len(), allocated, qcow2, content })
}

fn details(header: &qcow2::Details, census: Census) -> Qcow2 {
    let features = [
        (header.compression == qcow2::Compression::Zstd, "compression type"),
        (header.dirty, "dirty bit"),
        (header.lazy_refcounts, "lazy refcounts"),
    ];
    Qcow2 {
        version: header.version,
        cluster_size: header.cluster_size,
        compression_type: match header.compression {
            qcow2::Compression::Zstd => "zstd".to_owned(),
            qcow2::Compression::Zlib | qcow2::Compression::None => "zlib".to_owned(),
        },
        refcount_bits: header.refcount_bits,
        features: features
            .into_iter()
            .filter(|(set, _)| *set)
            .map(|(_, name)| name.to_owned())
            .collect(),
        snapshots: header.snapshots,
        clusters: Clusters {
            data: census.data,
            compressed: census.compressed,
            zero: census.zero,
            unallocated: census.unallocated,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::{ByteSource, MemorySink, Silent, Work};

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
        let details = report.qcow2.as_ref().unwrap();
        assert_eq!(details.features, ["compression type"]);
        let wanted = Clusters { data: 0, compressed: 2, zero: 0, unallocated: 14 };
        assert_eq!(details.clusters, wanted);
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
        let text = format!(
            "format          qcow2\n\
             file size       458752 bytes, 458752 allocated\n\
             virtual size    1048576 bytes (1Mi)\n\
             qcow2           version 3, clusters of 65536 bytes, zlib, refcounts of 16 bits\n\
             clusters        2 data, 0 compressed, 0 zero, 14 unallocated\n\
             digest          sha256:{digest}\n\
             boot sector     program (signature 55 AA)\n\
             data            1024 bytes in 2 runs\n\
             \x20               0..512\n\
             \x20               299520..300032\n"
        );
        assert_eq!(report.text(), text);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["format"], "qcow2");
        assert_eq!(json["virtualSize"], 1 << 20);
        assert_eq!(json["content"]["digest"], format!("sha256:{digest}"));
        assert_eq!(json["content"]["bootSector"], "program");
        assert_eq!(json["qcow2"]["clusters"]["data"], 2);
    }
}
