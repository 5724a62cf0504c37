//! How much room the files of a document can take, from the document alone.
//!
//! Knows the formats by rough upper bounds only (the engine can measure; the controller, which has
//! no engine, needs a number before anything is built). Invariant: no file that the engine writes is
//! larger than its bound here (a test writes full disks and compares).

use super::types::{Format, FormatKind, Medium, Preset, Spec, Wrap};
use super::{medium, medium_size};
use crate::units::{ByteSize, SizeOverflow};

const MIB: u64 = 1 << 20;

/// What tables and the stored form of data that cannot be compressed add, in millionths: 1/32. The
/// most are the tables of qcow2 with clusters of 512 bytes: 10 bytes for each, 1/51.
const TABLES: u32 = 31_250;

/// Headers, logs and rounding of files with tables: a VHDX begins with 4 MiB, a VHD rounds up to
/// cylinders and blocks of 2 MiB.
const HEADERS: ByteSize = ByteSize::mib(8);

/// The build manifest, SHA256SUMS and the directory.
const BESIDE: ByteSize = ByteSize::mib(1);

/// The room for all files of `spec`, were the disk full, in whole MiB.
pub fn room(spec: &Spec) -> Result<ByteSize, SizeOverflow> {
    let (mut files, mut spool) = (BESIDE, ByteSize::ZERO);
    for format in &spec.formats {
        let of = if format.kind == FormatKind::Iso { Some(Medium::Iso) } else { format.of };
        let bound = bound(format, medium_size(spec, medium(spec, of)))?;
        files = files.plus(bound)?;
        if spools(format) {
            spool = spool.max(bound);
        }
    }
    files.plus(spool)?.round_up(MIB)
}

/// Whether the file inside is written in full before the file around it. It lies in the directory
/// without a name meanwhile; there is one at a time.
fn spools(format: &Format) -> bool {
    let raw = matches!(format.kind, FormatKind::Raw | FormatKind::Iso);
    format.kind == FormatKind::Box || format.wrap != Wrap::None && !raw
}

/// The largest file of this format that holds a disk of `disk` bytes.
fn bound(format: &Format, disk: ByteSize) -> Result<ByteSize, SizeOverflow> {
    let padded = match format.preset.map(Preset::rules) {
        // Its padding is compressed away: deflate makes 1/1000 of zeros.
        Some(rules) if rules.preset == Preset::Gce => disk,
        Some(rules) => disk.max(ByteSize::bytes(rules.least)).round_up(rules.unit)?,
        None => disk,
    };
    let raw = matches!(format.kind, FormatKind::Raw | FormatKind::Iso);
    if raw && format.preset != Some(Preset::Gce) {
        let plain = format.wrap == Wrap::None;
        return if plain { Ok(padded) } else { padded.with_overhead(TABLES)?.plus(HEADERS) };
    }
    padded.with_overhead(TABLES)?.plus(HEADERS)?.plus(units(format, disk)?)
}

/// What large units of allocation add: the last one is filled up, tables begin with one each.
fn units(format: &Format, disk: ByteSize) -> Result<ByteSize, SizeOverflow> {
    match format.kind {
        FormatKind::Qcow2 => {
            // Header, both levels of both tables, and the last cluster; doubled.
            let cluster = format.qcow2.clone().unwrap_or_default().cluster_size.0;
            let twice = cluster.plus(cluster)?;
            let four = twice.plus(twice)?;
            four.plus(four)?.plus(four)
        }
        FormatKind::Vhdx => {
            let given = format.vhdx.as_ref().and_then(|options| options.block_size);
            // The largest block that the engine chooses by itself is 64 MiB, 8 MiB up to 1 GiB.
            let by_size = if disk <= ByteSize::mib(1024) { 8 } else { 64 };
            Ok(given.map_or(ByteSize::mib(by_size), |size| size.0))
        }
        FormatKind::Raw => Ok(ByteSize::mib(4)),
        _ => Ok(ByteSize::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn of(spec: &str) -> u64 {
        let text = format!(
            "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: t}}\nspec: {spec}\n"
        );
        room(&parse(&text, &[]).unwrap().remove(0).image.spec).unwrap().get()
    }

    #[test]
    fn the_room_is_the_sum_of_the_bounds() {
        assert_eq!(of("{disk: {size: 512}}"), 2 * MIB, "512 bytes and 1 MiB, in whole MiB");
        assert_eq!(of("{disk: {size: 64Mi}}"), 65 * MIB);
        // 64 + 2 + 8 MiB and 12 clusters of 64 KiB.
        assert_eq!(of("{disk: {size: 64Mi}, formats: [{type: qcow2}]}"), 76 * MIB);
        assert_eq!(of("{disk: {size: 64Mi}, formats: [{type: vdi}]}"), 75 * MIB);
        assert_eq!(of("{disk: {size: 64Mi}, formats: [{type: vhdx}]}"), 83 * MIB);
        let blocks = "{disk: {size: 64Mi}, formats: [{type: vhdx, vhdx: {blockSize: 256Mi}}]}";
        assert_eq!(of(blocks), 331 * MIB);
        assert_eq!(of("{disk: {size: 512}, formats: [{type: vhdx, preset: hyperv}]}"), 21 * MIB);
        assert_eq!(of("{disk: {size: 64Mi}, formats: [{type: raw}, {type: vdi}]}"), 139 * MIB);
        // The larger of what is in the two, once more.
        let spooled = "{disk: {size: 64Mi}, formats: [{type: qcow2, wrap: xz}, {type: box}]}";
        assert_eq!(of(spooled), (75 + 74 + 75 + 1) * MIB);
        assert_eq!(of("{disk: {size: 64Mi}, formats: [{type: raw, wrap: gzip}]}"), 75 * MIB);
    }

    #[test]
    fn what_is_too_large_is_told() {
        assert!(
            bound(
                &Format { kind: FormatKind::Vdi, ..Format::default() },
                ByteSize::bytes(u64::MAX)
            )
            .is_err()
        );
    }
}
