//! Judges the structure of a whole VMDK.
//!
//! Reads no contents. Invariant: memory is a map of `WINDOW` sectors, whatever the file says;
//! larger files are gone over several times.

use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

use super::descriptor::{Data, Descriptor, quoted};
use super::ondisk::{
    FOOTER_FROM_END, GRAIN_MARKER, GrainMarker, MARKER_GD, MARKER_GT, MetaDataMarker,
    SparseExtentHeader,
};
use super::parse::read_header;
use super::read::{Part, PartData};
use super::sparse::{Place, Sparse};
use super::used::Used;
use crate::engine::base::{Error, Work};
use crate::engine::format::{Findings, Severity};
use crate::units::SECTOR;

/// Sectors whose use is known at a time: 64 GiB of file, a map of 16 MiB.
const WINDOW: u64 = 1 << 27;

/// Judges all sparse extents. Of flat ones, opening them said all there is to say.
pub(super) fn check(
    descriptor: &Descriptor,
    parts: &[Part],
    work: &Work<'_>,
) -> Result<Findings, Error> {
    let total = parts.iter().map(|part| part.disk.len()).sum();
    work.progress.begin("checking vmdk", total);
    let mut findings = Findings::default();
    for (named, part) in descriptor.extents.iter().zip(parts) {
        if let PartData::Sparse(extent) = &part.data {
            if named.sectors != extent.header.capacity {
                let name = match &named.data {
                    Data::Sparse(name) | Data::Flat(name, _) => quoted(name),
                    Data::Zero => String::new(),
                };
                findings.add(
                    Severity::Error,
                    0,
                    format!(
                        "capacity is {} sectors, the descriptor says {} of extent {name}",
                        extent.header.capacity, named.sectors
                    ),
                );
            }
            Judge { extent, findings: &mut findings }.all()?;
        }
        work.progress.advance(part.disk.len())?;
    }
    Ok(findings)
}

/// Goes over one extent.
struct Judge<'a> {
    extent: &'a Sparse,
    findings: &'a mut Findings,
}

impl Judge<'_> {
    fn error(&mut self, sector: u64, message: String) {
        self.findings.add(Severity::Error, sector.saturating_mul(SECTOR), message);
    }

    fn all(&mut self) -> Result<(), Error> {
        let header = self.extent.header;
        if header.unclean {
            let message = "uncleanShutdown is set: the disk was open for writing".to_owned();
            self.error(0, message);
        }
        if header.footer {
            self.footer()?;
        }
        if header.redundant.is_some() {
            self.redundant()?;
        }
        let sectors = self.extent.source.len().div_ceil(SECTOR);
        if header.over_head > sectors {
            let message = format!("overHead is {}; the file has {sectors}", header.over_head);
            self.error(0, message);
        }
        for start in (0..sectors).step_by(WINDOW as usize) {
            let mut used = Used::new(start, sectors.min(start + WINDOW));
            self.window(&mut used)?;
            for (at, len) in used.free(header.over_head) {
                // QEMU makes files whole grains long.
                if at + len == sectors && len < header.grain {
                    continue;
                }
                self.findings.add(
                    Severity::Leak,
                    at * SECTOR,
                    format!("{len} sectors at sector {at} belong to nothing"),
                );
            }
        }
        Ok(())
    }

    /// Judges what the reader does not need of the footer.
    fn footer(&mut self) -> Result<(), Error> {
        let sector = self.extent.source.len() / SECTOR - FOOTER_FROM_END;
        let footer = read_header(&*self.extent.source, sector * SECTOR, "footer")?;
        let header = &self.extent.header.raw;
        let comparable = SparseExtentHeader { gd_offset: header.gd_offset, ..footer };
        if comparable != *header {
            self.error(sector, "the footer is not a copy of the header".to_owned());
        }
        Ok(())
    }

    /// Whether the redundant tables say the same.
    fn redundant(&mut self) -> Result<(), Error> {
        let header = self.extent.header;
        let Some(at) = header.redundant else { return Ok(()) };
        let copy = super::parse::Header { directory: at, redundant: None, ..header };
        let copy = match Sparse::new(std::sync::Arc::clone(&self.extent.source), copy, 1) {
            Ok(copy) => copy,
            Err(error) => {
                self.error(at, format!("the redundant directory: {error}"));
                return Ok(());
            }
        };
        for number in 0..header.tables {
            match (self.extent.table(number), copy.table(number)) {
                (Ok(main), Ok(other)) if main == other => {}
                (_, Err(error)) => self.error(at, format!("redundant tables: {error}")),
                (Err(_), Ok(_)) => {} // told where the tables are gone over
                (Ok(_), Ok(_)) => {
                    let message = format!("grain table {number} and its redundant copy differ");
                    self.error(at, message);
                }
            }
        }
        Ok(())
    }

    /// Marks all that is in use in this part of the file.
    fn window(&mut self, used: &mut Used) -> Result<(), Error> {
        let header = self.extent.header;
        let directory = (header.tables * 4).div_ceil(SECTOR);
        self.mark(used, 0, 1, "the header");
        if let Some((at, len)) = header.descriptor {
            self.mark(used, at, len, "the descriptor");
        }
        if let Some(at) = header.redundant {
            self.mark(used, at, directory, "the redundant directory");
            self.redundant_tables(used, at)?;
        }
        self.mark(used, header.directory, directory, "the directory");
        if header.markers {
            self.meta_marker(used, header.directory, MARKER_GD, directory)?;
        }
        if header.footer {
            let sectors = self.extent.source.len() / SECTOR;
            self.mark(used, sectors.saturating_sub(3), 3, "the footer");
        }
        for number in 0..header.tables {
            self.table(used, number)?;
        }
        Ok(())
    }

    fn redundant_tables(&mut self, used: &mut Used, at: u64) -> Result<(), Error> {
        let header = self.extent.header;
        let copy = super::parse::Header { directory: at, redundant: None, ..header };
        let source = std::sync::Arc::clone(&self.extent.source);
        let Ok(copy) = Sparse::new(source, copy, 1) else { return Ok(()) };
        let len = (header.entries * 4).div_ceil(SECTOR);
        for entry in copy.directory.iter().filter(|entry| entry.get() != 0) {
            self.mark(used, entry.get().into(), len, "a redundant grain table");
        }
        Ok(())
    }

    /// Marks a table and its grains.
    fn table(&mut self, used: &mut Used, number: u64) -> Result<(), Error> {
        let header = self.extent.header;
        let at = self.extent.directory.get(number as usize).map_or(0, |e| u64::from(e.get()));
        if at == 0 {
            return Ok(());
        }
        let len = (header.entries * 4).div_ceil(SECTOR);
        self.mark(used, at, len, &format!("grain table {number}"));
        let table = match self.extent.table(number) {
            Ok(Some(table)) => table,
            Ok(None) => return Ok(()),
            // What is wrong with the whole is told once, with the first window.
            Err(error) if used.start == 0 => {
                self.error(at, error.to_string());
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        if header.markers {
            self.meta_marker(used, at, MARKER_GT, len)?;
        }
        let first = number * header.entries;
        for grain in first..first + header.entries {
            if grain >= header.grains() {
                break;
            }
            match self.extent.place(&table, grain) {
                Ok(Place::At(sector)) => self.grain(used, grain, sector)?,
                Ok(Place::Unallocated | Place::Zero) => {}
                Err(error) if used.start == 0 => self.error(at, error.to_string()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn grain(&mut self, used: &mut Used, grain: u64, sector: u64) -> Result<(), Error> {
        if !(used.start..used.end).contains(&sector) {
            // A grain may reach into the window from before it.
            if !self.extent.header.compressed {
                self.mark(used, sector, self.extent.header.grain, "a grain");
            }
            return Ok(());
        }
        let header = self.extent.header;
        if sector < header.over_head {
            let message =
                format!("grain {grain} at sector {sector}; overHead is {}", header.over_head);
            self.error(sector, message);
        }
        let len = if header.compressed {
            match self.packed_sectors(grain, sector)? {
                Some(len) => len,
                None => return Ok(()),
            }
        } else {
            header.grain
        };
        let sectors = self.extent.source.len().div_ceil(SECTOR);
        if sector + len > sectors {
            let message = format!("{len} sectors of grain {grain} go beyond the end at {sectors}");
            self.error(sector, message);
        }
        self.mark(used, sector, len, &format!("grain {grain}"));
        Ok(())
    }

    /// Sectors of a compressed grain by its marker, if that is right.
    fn packed_sectors(&mut self, grain: u64, sector: u64) -> Result<Option<u64>, Error> {
        let mut marker = [0; GRAIN_MARKER];
        if sector * SECTOR + GRAIN_MARKER as u64 > self.extent.source.len() {
            self.error(sector, format!("the marker of grain {grain} goes beyond the end"));
            return Ok(None);
        }
        self.extent.source.read_at(sector * SECTOR, &mut marker)?;
        let Ok(marker) = GrainMarker::read_from_bytes(&marker) else { return Ok(None) };
        let lba = grain * self.extent.header.grain;
        if marker.lba.get() != lba || marker.size.get() == 0 {
            let message = format!(
                "the marker of grain {grain} says lba {} and {} bytes; lba {lba} and some bytes \
                 are allowed",
                marker.lba, marker.size
            );
            self.error(sector, message);
            return Ok(None);
        }
        Ok(Some((GRAIN_MARKER as u64 + u64::from(marker.size.get())).div_ceil(SECTOR)))
    }

    /// Judges and marks the marker before a table of `len` sectors at `at`.
    fn meta_marker(&mut self, used: &mut Used, at: u64, kind: u32, len: u64) -> Result<(), Error> {
        let Some(before) = at.checked_sub(1).filter(|at| (used.start..used.end).contains(at))
        else {
            return Ok(());
        };
        if at < self.extent.header.over_head || before * SECTOR + SECTOR > self.extent.source.len()
        {
            // Tables before the grains have no markers in what QEMU writes.
            return Ok(());
        }
        let mut marker = MetaDataMarker::new_zeroed();
        self.extent.source.read_at(before * SECTOR, marker.as_mut_bytes())?;
        let found = (marker.num_sectors.get(), marker.size.get(), marker.kind.get());
        if found != (len, 0, kind) {
            let wanted = (len, 0, kind);
            let message = format!("the marker is {found:?}, not {wanted:?} (sectors, size, type)");
            self.error(before, message);
        }
        self.mark(used, before, 1, "a marker");
        Ok(())
    }

    fn mark(&mut self, used: &mut Used, at: u64, len: u64, what: &str) {
        if let Some(twice) = used.mark(at, len) {
            self.error(twice, format!("sector {twice} belongs to {what} and to something else"));
        }
    }
}
