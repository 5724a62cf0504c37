//! Judges the header of a sparse extent, and its footer.
//!
//! Reads no table. Invariant: what is returned has lengths and places that cannot overflow, and
//! tables of a bounded size.

use zerocopy::{FromZeros as _, IntoBytes as _};

use super::descriptor::{MAX_BYTES, damaged, unsupported};
use super::ondisk::{
    COMPRESSION_DEFLATE, FLAG_COMPRESSED, FLAG_MARKERS, FLAG_NEW_LINES, FLAG_REDUNDANT,
    FLAG_ZEROED, GD_AT_END, GRAIN_SIZES, GTES, MAGIC, MARKER_EOS, MARKER_FOOTER, MAX_DIRECTORY,
    MetaDataMarker, NEW_LINES, SparseExtentHeader,
};
use crate::engine::base::{Error, SectorSource};
use crate::units::SECTOR;

/// What a header says, in sectors unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) raw: SparseExtentHeader,
    pub(super) version: u32,
    pub(super) capacity: u64,
    pub(super) grain: u64,
    /// Entries of a grain table.
    pub(super) entries: u64,
    /// Number of grain tables.
    pub(super) tables: u64,
    pub(super) directory: u64,
    pub(super) redundant: Option<u64>,
    /// The first and the number of the descriptor's sectors, where it is embedded.
    pub(super) descriptor: Option<(u64, u64)>,
    pub(super) over_head: u64,
    pub(super) compressed: bool,
    pub(super) markers: bool,
    /// Whether an entry 1 says "zero".
    pub(super) zeroed: bool,
    pub(super) footer: bool,
    pub(super) unclean: bool,
}

impl Header {
    /// Bytes of a grain.
    pub(super) const fn grain_bytes(&self) -> u64 {
        self.grain * SECTOR
    }

    /// Grains of the disk.
    pub(super) const fn grains(&self) -> u64 {
        self.capacity.div_ceil(self.grain)
    }
}

/// Reads and judges the header at the start of `source`, and the footer where it names one.
pub(super) fn parse(source: &dyn SectorSource) -> Result<Header, Error> {
    let raw = read_header(source, 0, "header")?;
    let mut header = judge(&raw)?;
    if raw.gd_offset.get() == GD_AT_END {
        header.directory = footer(source, &raw)?;
        header.footer = true;
    }
    let sectors = source.len().div_ceil(SECTOR);
    let directory = (header.tables * 4).div_ceil(SECTOR);
    let places = [
        ("gdOffset", Some((header.directory, directory))),
        ("rgdOffset", header.redundant.map(|at| (at, directory))),
        ("descriptorOffset", header.descriptor),
    ];
    for (field, place) in places {
        let Some((at, len)) = place else { continue };
        if at == 0 || at.checked_add(len).is_none_or(|end| end > sectors) {
            return Err(damaged(format!(
                "{field} is {at}: {len} sectors do not lie there, the file has {sectors}"
            )));
        }
    }
    Ok(header)
}

pub(super) fn read_header(
    source: &dyn SectorSource,
    offset: u64,
    what: &str,
) -> Result<SparseExtentHeader, Error> {
    let mut header = SparseExtentHeader::new_zeroed();
    if source.len() < offset.saturating_add(SECTOR) {
        let message = format!("{} bytes are too few for a {what}", source.len());
        return Err(damaged(message));
    }
    source.read_at(offset, header.as_mut_bytes())?;
    if header.magic_number.get() == MAGIC {
        return Ok(header);
    }
    Err(damaged(format!("the {what}'s magicNumber is {:#x}, not {MAGIC:#x}", header.magic_number)))
}

/// Judges all that needs no look at the file.
fn judge(raw: &SparseExtentHeader) -> Result<Header, Error> {
    let (version, flags) = (raw.version.get(), raw.flags.get());
    if !(1..=3).contains(&version) {
        return Err(unsupported(format!("version {version}; 1 to 3 are known")));
    }
    let known = FLAG_NEW_LINES | FLAG_REDUNDANT | FLAG_ZEROED | FLAG_COMPRESSED | FLAG_MARKERS;
    if flags & !known != 0 {
        return Err(unsupported(format!("flags {flags:#x}; known are {known:#x}")));
    }
    let lines = [
        raw.single_end_line_char,
        raw.non_end_line_char,
        raw.double_end_line_char1,
        raw.double_end_line_char2,
    ];
    if flags & FLAG_NEW_LINES != 0 && lines != NEW_LINES {
        return Err(damaged(format!(
            "the new line characters are {lines:x?}, not {NEW_LINES:x?}: the file was sent as text"
        )));
    }
    let compressed = match (flags & FLAG_COMPRESSED != 0, raw.compress_algorithm.get()) {
        (false, 0) => false,
        (true, COMPRESSION_DEFLATE) => true,
        (flag, algorithm) => {
            return Err(unsupported(format!(
                "compressAlgorithm {algorithm} and the flag of compressed grains being {}",
                u8::from(flag)
            )));
        }
    };
    let markers = flags & FLAG_MARKERS != 0;
    if compressed && !markers {
        return Err(unsupported("compressed grains without markers"));
    }
    let (entries, tables) = table_counts(raw)?;
    let descriptor = match (raw.descriptor_offset.get(), raw.descriptor_size.get()) {
        (0, _) => None,
        (_, size) if size == 0 || size > MAX_BYTES / SECTOR => {
            let most = MAX_BYTES / SECTOR;
            return Err(damaged(format!("descriptorSize is {size}; 1 to {most} are allowed")));
        }
        place => Some(place),
    };
    let unclean = match raw.unclean_shutdown {
        0 => false,
        1 => true,
        other => return Err(damaged(format!("uncleanShutdown is {other}, not 0 or 1"))),
    };
    Ok(Header {
        raw: *raw,
        version,
        capacity: raw.capacity.get(),
        grain: raw.grain_size.get(),
        entries,
        tables,
        directory: raw.gd_offset.get(),
        redundant: (flags & FLAG_REDUNDANT != 0).then(|| raw.rgd_offset.get()),
        descriptor,
        over_head: raw.over_head.get(),
        compressed,
        markers,
        zeroed: flags & FLAG_ZEROED != 0,
        footer: false,
        unclean,
    })
}

/// Entries of a grain table, and the number of tables.
fn table_counts(raw: &SparseExtentHeader) -> Result<(u64, u64), Error> {
    let (grain, entries) = (raw.grain_size.get(), raw.num_gtes_per_gt.get());
    if !grain.is_power_of_two() || !GRAIN_SIZES.contains(&grain) {
        let (least, most) = GRAIN_SIZES.into_inner();
        return Err(damaged(format!(
            "grainSize is {grain} sectors, not a power of two from {least} to {most}"
        )));
    }
    if !entries.is_power_of_two() || entries > GTES {
        return Err(damaged(format!("numGTEsPerGT is {entries}, not a power of two up to {GTES}")));
    }
    let (capacity, entries) = (raw.capacity.get(), u64::from(entries));
    let tables = capacity.div_ceil(grain * entries);
    if capacity == 0 || tables > MAX_DIRECTORY {
        let most = MAX_DIRECTORY * grain * entries;
        return Err(damaged(format!("capacity is {capacity} sectors; 1 to {most} are allowed")));
    }
    Ok((entries, tables))
}

/// Where the footer says that the directory lies.
fn footer(source: &dyn SectorSource, header: &SparseExtentHeader) -> Result<u64, Error> {
    let len = source.len();
    let no_footer = |what: &str| damaged(format!("gdOffset names the footer, but {what}"));
    // The marker, the footer and the end are the last three sectors.
    let Some(marker_at) = len.checked_sub(3 * SECTOR).filter(|_| len.is_multiple_of(SECTOR)) else {
        return Err(no_footer(&format!("{len} bytes are not whole sectors with room for it")));
    };
    let places = [(marker_at, MARKER_FOOTER, 1), (len - SECTOR, MARKER_EOS, 0)];
    for (at, kind, sectors) in places {
        let mut marker = MetaDataMarker::new_zeroed();
        source.read_at(at, marker.as_mut_bytes())?;
        let found = (marker.num_sectors.get(), marker.size.get(), marker.kind.get());
        if found != (sectors, 0, kind) {
            return Err(no_footer(&format!(
                "the marker at {at} is {found:?}, not {:?} (sectors, size, type)",
                (sectors, 0, kind)
            )));
        }
    }
    let footer = read_header(source, marker_at + SECTOR, "footer")?;
    let directory = footer.gd_offset;
    if directory.get() == GD_AT_END {
        return Err(no_footer("the footer's gdOffset does, too"));
    }
    // Only what contents depend on; `check` compares all of it.
    let essence = |h: &SparseExtentHeader| {
        let sizes = (h.capacity.get(), h.grain_size.get(), h.num_gtes_per_gt.get());
        (h.version.get(), h.flags.get(), sizes, h.compress_algorithm.get())
    };
    if essence(&footer) != essence(header) {
        return Err(no_footer("the footer contradicts the header"));
    }
    Ok(directory.get())
}
