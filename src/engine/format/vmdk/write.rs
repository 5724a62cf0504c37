//! Writes a medium as monolithicSparse or monolithicFlat.
//!
//! One pass over the medium; every byte is read once. Memory is a batch, 512 KiB of grain tables
//! and the directory in pieces. Invariant: the header, or the descriptor of a flat disk, is
//! written last: a file that was begun and not finished is no VMDK.

use zerocopy::IntoBytes as _;
use zerocopy::little_endian::U32;

use super::header;
use super::layout::{GRAIN_BYTES, Layout, TABLE_SECTORS};
use super::ondisk::{DESCRIPTOR_SECTORS, GRAIN, GTES};
use super::text::{descriptor, embedded};
use super::{Params, check_len};
use crate::engine::base::{Error, Kind, PositionalSink, SectorSource, Work};
use crate::engine::format::units::{Batches, data_runs};
use crate::engine::format::{Output, raw};
use crate::units::SECTOR;

/// Bytes read at once.
const BATCH: u64 = 2 << 20;

/// Entries of grain tables that are kept before they are written: 256 tables, 8 GiB of disk.
const KEPT: u64 = 256 * GTES as u64;

/// Entries of a directory that are written at once.
const DIRECTORY_PIECE: u64 = 64 << 10;

/// Writes a monolithicSparse file.
pub(super) fn sparse(
    source: &dyn SectorSource,
    output: &Output<'_>,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    let layout = Layout::growing(source.len())?;
    let label = &output.label;
    let text = descriptor(label, label.name, layout.capacity, params)?;
    let text = embedded(&text, (DESCRIPTOR_SECTORS * SECTOR) as usize)?;
    work.progress.begin("writing vmdk", source.len());
    let mut tables = Tables::new(layout, output.sink);
    let (mut end, mut done) = (layout.over_head(), 0);
    let mut buffer = Vec::new();
    for batch in Batches::new(source, GRAIN_BYTES, BATCH) {
        buffer.resize(batch.len() as usize, 0);
        source.read_at(batch.start(), &mut buffer)?;
        for run in data_runs(&buffer, GRAIN_BYTES as usize) {
            let first = (batch.start() + run.start as u64) / GRAIN_BYTES;
            let bytes = buffer.get(run).unwrap_or_default();
            output.sink.write_at(end * SECTOR, bytes)?;
            // The last grain of a disk need not be whole; the sink is zero behind it.
            for grain in first..first + (bytes.len() as u64).div_ceil(GRAIN_BYTES) {
                tables.set(grain, end)?;
                end += GRAIN;
            }
        }
        work.progress.advance(batch.end() - done)?;
        done = batch.end();
    }
    work.progress.advance(source.len() - done)?;
    tables.finish()?;
    output.sink.set_len(end * SECTOR)?;
    output.sink.write_at(SECTOR, &text)?;
    output.sink.write_at(0, header::sparse(layout).as_bytes())
}

/// The grain tables, which are filled in order and exist twice.
struct Tables<'a> {
    layout: Layout,
    sink: &'a dyn PositionalSink,
    /// The grain of the first kept entry.
    first: u64,
    kept: Vec<U32>,
}

impl<'a> Tables<'a> {
    const fn new(layout: Layout, sink: &'a dyn PositionalSink) -> Self {
        Self { layout, sink, first: 0, kept: Vec::new() }
    }

    /// The grain lies at `sector`. Grains come in order.
    fn set(&mut self, grain: u64, sector: u64) -> Result<(), Error> {
        if grain >= self.first + KEPT {
            self.flush()?;
            self.first = grain / KEPT * KEPT;
        }
        let sector = u32::try_from(sector).map_err(|_| too_far(sector))?;
        self.kept.resize((grain - self.first) as usize, U32::ZERO);
        self.kept.push(U32::new(sector));
        Ok(())
    }

    /// Writes the kept entries at both places.
    fn flush(&mut self) -> Result<(), Error> {
        for directory in [self.layout.redundant(), self.layout.main()] {
            let at = self.layout.first_table(directory) * SECTOR + self.first * 4;
            self.sink.write_at(at, self.kept.as_bytes())?;
        }
        self.kept.clear();
        Ok(())
    }

    /// Writes what is kept, and the directories: every table has its place, also an empty one.
    fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        for directory in [self.layout.redundant(), self.layout.main()] {
            let first = self.layout.first_table(directory);
            for from in (0..self.layout.tables).step_by(DIRECTORY_PIECE as usize) {
                let to = self.layout.tables.min(from + DIRECTORY_PIECE);
                let entries = (from..to).map(|table| first + table * TABLE_SECTORS);
                let entries: Result<Vec<U32>, Error> = entries
                    .map(|at| u32::try_from(at).map(U32::new).map_err(|_| too_far(at)))
                    .collect();
                self.sink.write_at(directory * SECTOR + from * 4, entries?.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// An entry of a table cannot hold this sector.
pub(super) fn too_far(sector: u64) -> Error {
    let message = format!("a vmdk file cannot hold more than 2 TiB: sector {sector}");
    Error::new(Kind::Document, message)
}

/// Writes a monolithicFlat disk: the raw disk, then the descriptor that names it.
pub(super) fn flat(
    source: &dyn SectorSource,
    output: &Output<'_>,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    let capacity = check_len(source.len())?;
    let name = params.companion(output.label.name).unwrap_or_default();
    let text = descriptor(&output.label, &name, capacity, params)?;
    let Some(companion) = output.companion else {
        let message = format!("a vmdk of subformat monolithicFlat needs a second file, \"{name}\"");
        return Err(Error::new(Kind::Document, message));
    };
    raw::write(source, companion, work.progress)?;
    output.sink.set_len(text.len() as u64)?;
    output.sink.write_at(0, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::engine::base::{ByteSource, MemorySink, Silent};
    use crate::engine::format::Label;

    /// Remembers where was written.
    #[derive(Default)]
    struct Log(Mutex<Vec<u64>>);

    impl PositionalSink for Log {
        fn write_at(&self, offset: u64, _: &[u8]) -> Result<(), Error> {
            self.0.lock().unwrap().push(offset);
            Ok(())
        }

        fn set_len(&self, _: u64) -> Result<(), Error> {
            Ok(())
        }
    }

    #[test]
    fn the_header_is_written_last_and_nothing_before_the_medium_is_accepted() {
        let label = Label { name: "a.vmdk", id: Uuid::nil() };
        let work = Work { threads: 1, progress: &Silent };
        let log = Log::default();
        let output = Output { label, sink: &log, companion: None };
        sparse(&ByteSource::new(vec![1; 70_144]), &output, &Params::default(), &work).unwrap();
        let offsets = std::mem::take(&mut *log.0.lock().unwrap());
        assert_eq!(offsets.first(), Some(&(128 * SECTOR)));
        assert_eq!(offsets.last(), Some(&0));

        for (len, name) in [(0, "a"), (7, "a"), (512, "a\"b")] {
            let label = Label { name, id: Uuid::nil() };
            let output = Output { label, sink: &log, companion: None };
            let source = ByteSource::new(vec![1; len]);
            assert!(sparse(&source, &output, &Params::default(), &work).is_err());
            assert!(flat(&source, &output, &Params::default(), &work).is_err());
        }
        assert!(log.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_flat_disk_without_a_second_file_is_refused() {
        let params =
            Params { subformat: super::super::Subformat::MonolithicFlat, ..Params::default() };
        let sink = MemorySink::default();
        let label = Label { name: "a.vmdk", id: Uuid::nil() };
        let output = Output { label, sink: &sink, companion: None };
        let work = Work { threads: 1, progress: &Silent };
        let error = flat(&ByteSource::new(vec![1; 512]), &output, &params, &work).unwrap_err();
        assert!(error.to_string().contains("needs a second file, \"a-flat.vmdk\""), "{error}");
    }
}
