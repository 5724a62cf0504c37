//! Reads and judges the header of an untrusted file.
//!
//! Opens nothing that the header names. Invariant: what `parse` accepts has a geometry, an L1
//! table that lies inside the file, and no feature that the reader does not know; it reads at most
//! one cluster.

use zerocopy::FromBytes as _;

use super::Compression;
use super::geometry::{ENTRY, Geometry};
use super::ondisk::{
    Additional, COMPATIBLE_LAZY, COMPRESSION_ZLIB, COMPRESSION_ZSTD, EXTENSION_DATA_FILE,
    EXTENSION_END, Extension, HeaderV2, HeaderV3, INCOMPATIBLE_COMPRESSION, INCOMPATIBLE_CORRUPT,
    INCOMPATIBLE_DATA_FILE, INCOMPATIBLE_DIRTY, INCOMPATIBLE_EXTENDED_L2, MAGIC, MAX_BACKING_NAME,
    MAX_L1_BYTES, MAX_REFCOUNT_ORDER, MAX_REFCOUNT_TABLE_BYTES, MAX_SNAPSHOTS, V3_LENGTH,
};
use crate::engine::base::{Error, Kind, SectorSource};

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of a cluster.
    pub cluster_size: u64,
    /// Virtual size in bytes.
    pub virtual_size: u64,
    /// The method of compressed clusters, if there are any: never `None`.
    pub compression: Compression,
    /// Width of a reference count.
    pub refcount_bits: u32,
    /// Bytes of the header without its extensions.
    pub header_length: u32,
    /// Snapshots in the file; their contents are not read.
    pub snapshots: u32,
    /// The file was not closed properly: reference counts may be wrong. Contents are not affected.
    pub dirty: bool,
    /// Reference counts may be written late.
    pub lazy_refcounts: bool,
}

/// A judged header.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) details: Details,
    pub(super) geometry: Geometry,
    pub(super) l1_offset: u64,
}

/// The part of the header that depends on the version.
struct Features {
    incompatible: u64,
    compatible: u64,
    refcount_order: u32,
    header_length: u32,
    compression_type: u8,
}

/// Reads and judges the header of `source`.
pub(super) fn parse(source: &dyn SectorSource) -> Result<Parsed, Error> {
    let mut start = [0; size_of::<HeaderV2>()];
    if source.len() < start.len() as u64 {
        return Err(damaged(format!("{} bytes are too few for a header", source.len())));
    }
    source.read_at(0, &mut start)?;
    let header = HeaderV2::read_from_bytes(&start).map_err(|_| damaged("no header"))?;
    let version = header.version.get();
    if header.magic.get() != MAGIC {
        return Err(damaged(format!("magic {:#010x}, not {MAGIC:#010x}", header.magic.get())));
    }
    if !matches!(version, 2 | 3) {
        return Err(unsupported(format!("version {version}, only 2 and 3 are known")));
    }
    let geometry = Geometry::new(header.cluster_bits.get(), header.size.get())
        .map_err(|e| Error::new(Kind::Damaged, e.to_string()))?;
    let mut head = vec![0; geometry.cluster().min(source.len()) as usize];
    source.read_at(0, &mut head)?;
    let features = features(&head, version)?;
    refuse_features(&features, &head)?;
    refuse_named_files(&header, source)?;
    let compression = compression(&features)?;
    check_tables(&header, geometry, source.len())?;
    let details = Details {
        version,
        cluster_size: geometry.cluster(),
        virtual_size: geometry.virtual_size(),
        compression,
        refcount_bits: 1 << features.refcount_order,
        header_length: features.header_length,
        snapshots: header.nb_snapshots.get(),
        dirty: features.incompatible & INCOMPATIBLE_DIRTY != 0,
        lazy_refcounts: features.compatible & COMPATIBLE_LAZY != 0,
    };
    Ok(Parsed { details, geometry, l1_offset: header.l1_table_offset.get() })
}

fn features(head: &[u8], version: u32) -> Result<Features, Error> {
    let header_length = size_of::<HeaderV2>() as u32;
    if version == 2 {
        let (incompatible, compatible) = (0, 0);
        let (refcount_order, compression_type) = (4, COMPRESSION_ZLIB);
        return Ok(Features {
            incompatible,
            compatible,
            refcount_order,
            header_length,
            compression_type,
        });
    }
    let rest = head.get(size_of::<HeaderV2>()..).unwrap_or_default();
    let Ok((v3, rest)) = HeaderV3::read_from_prefix(rest) else {
        return Err(damaged(format!("{} bytes are too few for a version 3 header", head.len())));
    };
    let header_length = v3.header_length.get();
    let fits = head.len() as u64 >= u64::from(header_length);
    if header_length < V3_LENGTH || !header_length.is_multiple_of(8) || !fits {
        return Err(damaged(format!(
            "header length {header_length}, allowed are multiples of 8 from {V3_LENGTH} to {}",
            head.len()
        )));
    }
    if v3.refcount_order.get() > MAX_REFCOUNT_ORDER {
        return Err(damaged(format!(
            "refcount order {}, at most {MAX_REFCOUNT_ORDER} is allowed",
            v3.refcount_order
        )));
    }
    // A field is present if the header is longer than the field's offset.
    let present = header_length > V3_LENGTH;
    let additional = Additional::read_from_prefix(rest).ok().filter(|_| present);
    Ok(Features {
        incompatible: v3.incompatible_features.get(),
        compatible: v3.compatible_features.get(),
        refcount_order: v3.refcount_order.get(),
        header_length,
        compression_type: additional.map_or(COMPRESSION_ZLIB, |(a, _)| a.compression_type),
    })
}

fn refuse_features(features: &Features, head: &[u8]) -> Result<(), Error> {
    let has = |bit: u64| features.incompatible & bit != 0;
    if has(INCOMPATIBLE_CORRUPT) {
        return Err(damaged("the file is marked as corrupt"));
    }
    if has(INCOMPATIBLE_DATA_FILE) {
        let extensions = head.get(features.header_length as usize..).unwrap_or_default();
        let name = extension(extensions, EXTENSION_DATA_FILE).unwrap_or_default();
        return Err(named("external data file", name));
    }
    if has(INCOMPATIBLE_EXTENDED_L2) {
        return Err(unsupported("extended L2 entries (subclusters)"));
    }
    let known = INCOMPATIBLE_DIRTY | INCOMPATIBLE_COMPRESSION;
    let unknown: Vec<_> =
        (0..u64::BITS).filter(|bit| has(1 << bit & !known)).map(|bit| bit.to_string()).collect();
    if !unknown.is_empty() {
        let message = format!("unknown incompatible features, bits {}", unknown.join(", "));
        return Err(unsupported(message));
    }
    Ok(())
}

/// The data of the first extension of this kind.
fn extension(mut bytes: &[u8], kind: u32) -> Option<&[u8]> {
    loop {
        let (head, rest) = Extension::read_from_prefix(bytes).ok()?;
        let length = usize::try_from(head.length.get()).ok()?;
        match head.kind.get() {
            EXTENSION_END => return None,
            found if found == kind => return rest.get(..length),
            _ => bytes = rest.get(length.checked_next_multiple_of(8)?..)?,
        }
    }
}

fn refuse_named_files(header: &HeaderV2, source: &dyn SectorSource) -> Result<(), Error> {
    match header.crypt_method.get() {
        0 => {}
        1 => return Err(unsupported("AES encryption")),
        2 => return Err(unsupported("LUKS encryption")),
        other => return Err(unsupported(format!("encryption method {other}"))),
    }
    let (offset, length) = (header.backing_file_offset.get(), header.backing_file_size.get());
    if offset == 0 {
        return Ok(());
    }
    let inside = offset.checked_add(u64::from(length)).is_some_and(|end| end <= source.len());
    if length > MAX_BACKING_NAME || !inside {
        return Err(damaged(format!(
            "a backing file name of {length} bytes at offset {offset}; the file has {} bytes, \
             names have at most {MAX_BACKING_NAME}",
            source.len()
        )));
    }
    let mut name = vec![0; length as usize];
    source.read_at(offset, &mut name)?;
    Err(named("backing file", &name))
}

fn compression(features: &Features) -> Result<Compression, Error> {
    let bit = features.incompatible & INCOMPATIBLE_COMPRESSION != 0;
    match (features.compression_type, bit) {
        (COMPRESSION_ZLIB, false) => Ok(Compression::Zlib),
        (COMPRESSION_ZSTD, true) => Ok(Compression::Zstd),
        (kind @ (COMPRESSION_ZLIB | COMPRESSION_ZSTD), _) => Err(damaged(format!(
            "compression type {kind} does not go with the compression type bit being {}",
            u8::from(bit)
        ))),
        (other, _) => Err(unsupported(format!("compression type {other}"))),
    }
}

fn check_tables(header: &HeaderV2, geometry: Geometry, file: u64) -> Result<(), Error> {
    let l1_bytes = u64::from(header.l1_size.get()) * ENTRY;
    if u64::from(header.l1_size.get()) < geometry.l1_entries() || l1_bytes > MAX_L1_BYTES {
        return Err(damaged(format!(
            "an L1 table of {} entries; the virtual size needs {}, at most {} are allowed",
            header.l1_size,
            geometry.l1_entries(),
            MAX_L1_BYTES / ENTRY
        )));
    }
    let refcount_bytes = u64::from(header.refcount_table_clusters.get()) * geometry.cluster();
    if refcount_bytes == 0 || refcount_bytes > MAX_REFCOUNT_TABLE_BYTES.max(geometry.cluster()) {
        return Err(damaged(format!(
            "a refcount table of {refcount_bytes} bytes, allowed are 1 to \
             {MAX_REFCOUNT_TABLE_BYTES}"
        )));
    }
    if header.nb_snapshots.get() > MAX_SNAPSHOTS {
        return Err(damaged(format!(
            "{} snapshots, at most {MAX_SNAPSHOTS} are allowed",
            header.nb_snapshots
        )));
    }
    let places = [
        ("L1 table", header.l1_table_offset.get(), l1_bytes),
        ("refcount table", header.refcount_table_offset.get(), 1),
        ("snapshot table", header.snapshots_offset.get(), header.nb_snapshots.get().into()),
    ];
    for (what, offset, bytes) in places.into_iter().filter(|(_, _, bytes)| *bytes > 0) {
        inside(what, offset, bytes, geometry, file)?;
    }
    Ok(())
}

/// Refuses a table that is not aligned, lies in the header or goes beyond the end of the file.
pub(super) fn inside(
    what: &str,
    offset: u64,
    bytes: u64,
    geometry: Geometry,
    file: u64,
) -> Result<(), Error> {
    let aligned = offset != 0 && offset.is_multiple_of(geometry.cluster());
    if aligned && offset.checked_add(bytes).is_some_and(|end| end <= file) {
        return Ok(());
    }
    Err(damaged(format!(
        "{what} of {bytes} bytes at offset {offset}; clusters have {} bytes, the file has {file}",
        geometry.cluster()
    )))
}

pub(super) fn damaged(what: impl AsRef<str>) -> Error {
    Error::new(Kind::Damaged, format!("damaged qcow2 file: {}", what.as_ref()))
}

fn unsupported(what: impl AsRef<str>) -> Error {
    Error::new(Kind::Unsupported, format!("qcow2 file with {}", what.as_ref()))
}

/// A file that the image names and that nobody opens.
fn named(what: &str, name: &[u8]) -> Error {
    let name = String::from_utf8_lossy(name);
    unsupported(format!("{what} \"{}\", which is never opened", name.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::{ByteSource, MemorySink, Silent, Work};
    use crate::engine::format::qcow2::{Params, write};

    /// A file of 1 MiB of virtual size, as we write it, with these bytes changed.
    fn patched(patches: &[(usize, &[u8])]) -> Result<Parsed, Error> {
        let sink = MemorySink::default();
        let medium = ByteSource::new(vec![1; 1 << 20]);
        write(&medium, &sink, &Params::default(), &Work { threads: 1, progress: &Silent }).unwrap();
        let mut bytes = sink.into_bytes();
        for (at, patch) in patches {
            bytes[*at..][..patch.len()].copy_from_slice(patch);
        }
        parse(&ByteSource::new(bytes))
    }

    #[test]
    fn what_a_header_must_not_say_is_refused_with_its_numbers() {
        for (at, patch, says) in [
            (3, &[0][..], "magic 0x51464900"),
            (7, &[4], "version 4"),
            (8, &[0; 12], ""),
            (23, &[0], "2^9 to 2^21 bytes, not 2^0"),
            (23, &[8], "not 2^8"),
            (23, &[22], "not 2^22"),
            (20, &[0xff], "not 2^4278190096"),
            (24, &[0x80], "9223372036855824384 bytes is too large"),
            (35, &[1], "AES encryption"),
            (35, &[2], "LUKS encryption"),
            (35, &[3], "encryption method 3"),
            (39, &[0], "an L1 table of 0 entries; the virtual size needs 1"),
            (36, &[1], "16777217 entries; the virtual size needs 1, at most 4194304"),
            (46, &[2], "L1 table of 8 bytes at offset 66048"),
            (45, &[0], "L1 table of 8 bytes at offset 0"),
            (43, &[1], "at offset 4295032832"),
            (59, &[0], "refcount table of 0 bytes"),
            (57, &[1], "refcount table of 4295032832 bytes"),
            (55, &[1], "refcount table of 1 bytes at offset"),
            (61, &[2], "131072 snapshots"),
            (63, &[1], "snapshot table of 1 bytes at offset 0"),
            (79, &[2], "marked as corrupt"),
            (79, &[4], "external data file \"\", which is never opened"),
            (79, &[8], "compression type 0 does not go with the compression type bit being 1"),
            (79, &[16], "extended L2 entries"),
            (72, &[0x80, 0, 0, 0, 0, 0, 0, 0x20], "bits 5, 63"),
            (99, &[7], "refcount order 7"),
            (103, &[72], "header length 72"),
            (103, &[105], "header length 105"),
            (101, &[2], "header length 131176"),
            (15, &[0xf8, 0, 0, 4, 0], "backing file name of 1024 bytes"),
            (8, &[0xff; 12], "a backing file name of 4294967295 bytes"),
            (103, &[112, 1], "compression type 1 does not go with"),
            (
                79,
                &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 112, 9],
                "compression type 9",
            ),
        ] {
            match patched(&[(at, patch)]) {
                Ok(_) => assert_eq!(says, "", "byte {at} {patch:?} is accepted"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!says.is_empty() && text.contains(says), "byte {at}: {text}");
                }
            }
        }
    }

    #[test]
    fn files_that_are_named_are_told_by_name() {
        let name = b"../secret\"\n";
        let error = patched(&[(15, &[0xf8, 0, 0, 0, 11]), (0xf8, name)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "qcow2 file with backing file \"../secret\\\"\\n\", which is never opened"
        );
        // An extension whose length goes beyond the area hides what follows it.
        let extension = [b"other\0\0\x05datum\0\0\0", &b"DATA\0\0\0\x04file"[..]].concat();
        let error = patched(&[(79, &[4]), (104, &extension[..])]).unwrap_err();
        assert!(error.to_string().contains("\"\""), "{error}");
        let extension = [b"othe\0\0\0\x05datum\0\0\0", &b"DATA\0\0\0\x04file"[..]].concat();
        let error = patched(&[(79, &[4]), (104, &extension)]).unwrap_err();
        assert!(error.to_string().contains("external data file \"file\""), "{error}");
    }

    #[test]
    fn what_may_be_set_is_told() {
        let parsed = patched(&[(79, &[1]), (87, &[1]), (99, &[6])]).unwrap();
        assert!(parsed.details.dirty && parsed.details.lazy_refcounts);
        assert_eq!(parsed.details.refcount_bits, 64);
        let parsed = patched(&[(7, &[2])]).unwrap();
        assert_eq!((parsed.details.version, parsed.details.header_length), (2, 72));
    }
}
