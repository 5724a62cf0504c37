//! Reads and judges the header of an untrusted file.
//!
//! Opens nothing that the header names. Invariant: what `parse` accepts has a geometry, an L1
//! table that lies inside the file, and no feature that the reader does not know; it reads at most
//! one cluster.

use zerocopy::FromBytes as _;

use super::Compression;
use super::details::Details;
use super::extensions::{Bitmaps, Names, extensions};
use super::geometry::{ENTRY, Geometry, Impossible};
use super::ondisk::{
    AUTOCLEAR_DATA_RAW, Additional, COMPATIBLE_LAZY, COMPRESSION_ZLIB, COMPRESSION_ZSTD, HeaderV2,
    HeaderV3, INCOMPATIBLE_COMPRESSION, INCOMPATIBLE_CORRUPT, INCOMPATIBLE_DATA_FILE,
    INCOMPATIBLE_DIRTY, INCOMPATIBLE_EXTENDED_L2, MAGIC, MAX_L1_BYTES, MAX_REFCOUNT_ORDER,
    MAX_REFCOUNT_TABLE_BYTES, MAX_SNAPSHOTS, SnapshotEntry, V3_LENGTH,
};
use crate::engine::base::{Error, Kind, SectorSource};

/// Where the tables lie that reading needs not, but `check` does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) l1_offset: u64,
    pub(super) l1_entries: u32,
    pub(super) refcount_table: u64,
    pub(super) refcount_clusters: u32,
    pub(super) refcount_order: u32,
    pub(super) snapshots: u32,
    pub(super) snapshots_offset: u64,
    pub(super) bitmaps: Option<Bitmaps>,
}

/// A judged header.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) details: Details,
    pub(super) geometry: Geometry,
    pub(super) layout: Layout,
    pub(super) names: Names,
}

/// The part of the header that depends on the version.
pub(super) struct Features {
    incompatible: u64,
    compatible: u64,
    pub(super) autoclear: u64,
    refcount_order: u32,
    pub(super) header_length: u32,
    compression_type: u8,
}

impl Features {
    const fn has(&self, bit: u64) -> bool {
        self.incompatible & bit != 0
    }

    pub(super) const fn has_data_file(&self) -> bool {
        self.has(INCOMPATIBLE_DATA_FILE)
    }
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
    let impossible = |e: Impossible| Error::new(Kind::Damaged, e.to_string());
    let plain = Geometry::new(header.cluster_bits.get(), header.size.get()).map_err(impossible)?;
    let mut head = vec![0; plain.cluster().min(source.len()) as usize];
    source.read_at(0, &mut head)?;
    let features = features(&head, version)?;
    refuse_features(&features)?;
    refuse_encryption(&header)?;
    let extended_l2 = features.has(INCOMPATIBLE_EXTENDED_L2);
    let geometry = if extended_l2 { plain.extended().map_err(impossible)? } else { plain };
    let (names, bitmaps) = extensions(&head, &header, &features)?;
    let compression = compression(&features)?;
    check_tables(&header, geometry, source.len())?;
    let (backing_file, data_file) = names.shown();
    let details = Details {
        version,
        cluster_size: geometry.cluster(),
        virtual_size: geometry.virtual_size(),
        compression,
        refcount_bits: 1 << features.refcount_order,
        header_length: features.header_length,
        snapshots: header.nb_snapshots.get(),
        dirty: features.has(INCOMPATIBLE_DIRTY),
        lazy_refcounts: features.compatible & COMPATIBLE_LAZY != 0,
        extended_l2,
        raw_data_file: names.has_data_file && features.autoclear & AUTOCLEAR_DATA_RAW != 0,
        backing_file,
        data_file: data_file.filter(|_| names.has_data_file),
    };
    let layout = layout(&header, &features, bitmaps);
    Ok(Parsed { details, geometry, layout, names })
}

fn layout(header: &HeaderV2, features: &Features, bitmaps: Option<Bitmaps>) -> Layout {
    Layout {
        l1_offset: header.l1_table_offset.get(),
        l1_entries: header.l1_size.get(),
        refcount_table: header.refcount_table_offset.get(),
        refcount_clusters: header.refcount_table_clusters.get(),
        refcount_order: features.refcount_order,
        snapshots: header.nb_snapshots.get(),
        snapshots_offset: header.snapshots_offset.get(),
        bitmaps,
    }
}

fn features(head: &[u8], version: u32) -> Result<Features, Error> {
    if version == 2 {
        return Ok(Features {
            incompatible: 0,
            compatible: 0,
            autoclear: 0,
            refcount_order: 4,
            header_length: size_of::<HeaderV2>() as u32,
            compression_type: COMPRESSION_ZLIB,
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
        autoclear: v3.autoclear_features.get(),
        refcount_order: v3.refcount_order.get(),
        header_length,
        compression_type: additional.map_or(COMPRESSION_ZLIB, |(a, _)| a.compression_type),
    })
}

fn refuse_features(features: &Features) -> Result<(), Error> {
    if features.has(INCOMPATIBLE_CORRUPT) {
        return Err(damaged("the file is marked as corrupt"));
    }
    let known = INCOMPATIBLE_DIRTY
        | INCOMPATIBLE_DATA_FILE
        | INCOMPATIBLE_COMPRESSION
        | INCOMPATIBLE_EXTENDED_L2;
    let unknown: Vec<_> = (0..u64::BITS)
        .filter(|bit| features.has(1 << bit & !known))
        .map(|bit| bit.to_string())
        .collect();
    if !unknown.is_empty() {
        let message = format!("unknown incompatible features, bits {}", unknown.join(", "));
        return Err(unsupported(message));
    }
    Ok(())
}

fn refuse_encryption(header: &HeaderV2) -> Result<(), Error> {
    match header.crypt_method.get() {
        0 => Ok(()),
        1 => Err(unsupported("AES encryption")),
        2 => Err(unsupported("LUKS encryption")),
        other => Err(unsupported(format!("encryption method {other}"))),
    }
}

fn compression(features: &Features) -> Result<Compression, Error> {
    let bit = features.has(INCOMPATIBLE_COMPRESSION);
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
    let snapshots = u64::from(header.nb_snapshots.get()) * size_of::<SnapshotEntry>() as u64;
    // The last cluster of a file need not be whole.
    let refcounts = refcount_bytes - geometry.cluster() + 1;
    let places = [
        ("L1 table", header.l1_table_offset.get(), l1_bytes),
        ("refcount table", header.refcount_table_offset.get(), refcounts),
        ("snapshot table", header.snapshots_offset.get(), snapshots),
    ];
    for (n, (what, offset, bytes)) in places.into_iter().enumerate() {
        if bytes == 0 {
            continue;
        }
        inside(what, offset, bytes, geometry, file)?;
        let overlaps = |(_, at, len): &(&str, u64, u64)| {
            *at < offset + bytes && offset < at.saturating_add(*len)
        };
        if let Some((other, at, len)) = places.into_iter().skip(n + 1).find(overlaps) {
            return Err(damaged(format!(
                "{what} of {bytes} bytes at offset {offset} and {other} of {len} bytes at offset \
                 {at} overlap"
            )));
        }
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

pub(super) fn unsupported(what: impl AsRef<str>) -> Error {
    Error::new(Kind::Unsupported, format!("qcow2 file with {}", what.as_ref()))
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
            (24, &[0x80], "9223372036855824384 bytes; with clusters of 65536"),
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
            (63, &[1], "snapshot table of 40 bytes at offset 0"),
            (79, &[2], "marked as corrupt"),
            (79, &[4], ""),
            (79, &[8], "compression type 0 does not go with the compression type bit being 1"),
            (79, &[16], ""),
            (8, &[0, 0, 0, 0, 0, 0, 0, 0xf8], "a backing file name of 0 bytes at offset 248"),
            (8, &[0, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 4], "name of 4 bytes at offset 96"),
            (8, &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4], "name of 4 bytes at offset 65536"),
            (15, &[0xf8, 0, 0, 3, 0xff], ""),
            (60, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0], "at offset 65536 and snapshot table"),
            (48, &[0, 0, 0, 0, 0, 1, 0, 0], "L1 table of 8 bytes at offset 65536 and refcount"),
            (104, &[1, 2, 3, 4, 0, 0, 0xff, 0x91], "extension 0x01020304 at offset 104 has 65425"),
            (104, &[1, 2, 3, 4, 0, 0, 0xff, 0x90], ""),
            (104, &[0xff; 8], "extension 0xffffffff at offset 104 has 4294967295"),
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
        let parsed = patched(&[(15, &[0xf8, 0, 0, 0, 11]), (0xf8, name)]).unwrap();
        assert_eq!(parsed.names.backing.unwrap(), name);
        assert_eq!(parsed.details.backing_file.unwrap(), "../secret\\\"\\n");
        let extension = [b"othe\0\0\0\x05datum\0\0\0", &b"DATA\0\0\0\x04file"[..]].concat();
        let parsed = patched(&[(79, &[4]), (104, &extension)]).unwrap();
        assert_eq!(parsed.details.data_file.as_deref().unwrap(), "file");
        assert_eq!(parsed.details.features(), ["external data file"]);
        // Without the feature bit the extension says nothing.
        assert_eq!(patched(&[(104, &extension)]).unwrap().details.data_file, None);
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
