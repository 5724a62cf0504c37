//! The header cluster of a file that is written.
//!
//! Version 2 has 72 bytes. Version 3 without compression, or with zlib, has 104 bytes and no
//! extension: zlib is what readers take for granted, and the shortest header is the one that all
//! of them know (QEMU's own has 112 bytes with a compression type of 0, which means the same).
//! With zstd it has 112 bytes, and the name of the one incompatible feature, for the error of
//! older readers.
//! Invariant: nothing in it depends on anything but its arguments.

use zerocopy::IntoBytes as _;

use super::alloc::RefcountPlaces;
use super::geometry::Geometry;
use super::ondisk::{
    Additional, COMPATIBLE_LAZY, COMPRESSION_ZSTD, EXTENSION_END, EXTENSION_FEATURE_NAMES,
    Extension, FeatureName, HeaderV2, HeaderV3, INCOMPATIBLE_COMPRESSION, MAGIC, V3_LENGTH,
};
use super::{Compat, Compression, Params};
use crate::engine::base::{Error, Kind};

/// Reference counts of 16 bits.
const REFCOUNT_ORDER: u32 = 4;

/// The header with its extensions.
pub(super) fn header(
    geometry: Geometry,
    l1_offset: u64,
    refcounts: RefcountPlaces,
    params: &Params,
) -> Result<Vec<u8>, Error> {
    let zstd = params.compression == Compression::Zstd;
    let additional = if zstd { size_of::<Additional>() } else { 0 };
    let v2 = HeaderV2 {
        magic: MAGIC.into(),
        version: (if params.compat == Compat::V2 { 2 } else { 3 }).into(),
        cluster_bits: geometry.cluster_bits().into(),
        size: geometry.virtual_size().into(),
        l1_size: count(geometry.l1_entries())?.into(),
        l1_table_offset: l1_offset.into(),
        refcount_table_offset: refcounts.table.into(),
        refcount_table_clusters: count(refcounts.table_clusters)?.into(),
        ..HeaderV2::default()
    };
    let v3 = HeaderV3 {
        incompatible_features: (if zstd { INCOMPATIBLE_COMPRESSION } else { 0 }).into(),
        compatible_features: (if params.lazy_refcounts { COMPATIBLE_LAZY } else { 0 }).into(),
        refcount_order: REFCOUNT_ORDER.into(),
        header_length: (V3_LENGTH + count(additional as u64)?).into(),
        ..HeaderV3::default()
    };
    let mut bytes = v2.as_bytes().to_vec();
    if params.compat == Compat::V3 {
        bytes.extend(v3.as_bytes());
    }
    if zstd {
        let additional = Additional { compression_type: COMPRESSION_ZSTD, padding: [0; 7] };
        bytes.extend(additional.as_bytes());
        bytes.extend(feature_names()?);
    }
    let end = Extension { kind: EXTENSION_END.into(), length: 0.into() };
    bytes.extend(end.as_bytes());
    Ok(bytes)
}

/// The extension that names the compression type bit, as QEMU names it.
fn feature_names() -> Result<Vec<u8>, Error> {
    let text = b"compression type";
    let mut name = [0; 46];
    name.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    let bit = u8::try_from(INCOMPATIBLE_COMPRESSION.trailing_zeros()).unwrap_or_default();
    let entry = FeatureName { kind: 0, bit, name };
    let length = count(entry.as_bytes().len() as u64)?;
    let head = Extension { kind: EXTENSION_FEATURE_NAMES.into(), length: length.into() };
    Ok([head.as_bytes(), entry.as_bytes()].concat())
}

fn count(value: u64) -> Result<u32, Error> {
    u32::try_from(value)
        .map_err(|_| Error::new(Kind::Document, format!("{value} does not fit a field of 32 bits")))
}
