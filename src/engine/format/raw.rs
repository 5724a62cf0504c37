//! Raw files: the bytes of the medium, with holes where it is zero.
//!
//! Adds no padding. Invariant: the output is exactly as long as the medium; every unit of `UNIT`
//! bytes that is all zero is left out, whether the source calls it a hole or not.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::units::{Ahead, Batches, read_ahead};
use super::{Census, Findings, FormatName, Params, image};
use crate::engine::base::{
    Error, Extent, PositionalSink, Progress, SectorSource, StreamSink, Work,
};
use crate::units::SECTOR;

/// What is either written or left out.
const UNIT: u64 = 64 << 10;

/// Bytes read at once.
const BATCH: u64 = 1 << 20;

/// What a stream's zeros are made of.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Writes `source` to a sink that reads as zeros where nothing is written: this thread reads.
pub fn write(
    source: &dyn SectorSource,
    sink: &dyn PositionalSink,
    progress: &dyn Progress,
) -> Result<(), Error> {
    copy(source, sink, &Work { threads: 1, progress })
}

/// As `write`, on several threads: some read while this one writes. Where the source is a file whose
/// blocks the sink can share, nothing is read at all.
pub fn copy(
    source: &dyn SectorSource,
    sink: &dyn PositionalSink,
    work: &Work<'_>,
) -> Result<(), Error> {
    let progress = work.progress;
    progress.begin("writing raw", source.len());
    let shared = source.whole_file().is_some_and(|file| sink.reflink(file));
    sink.set_len(source.len())?;
    if shared {
        return progress.advance(source.len());
    }
    let ahead = Ahead { unit: UNIT, batch: BATCH, head: 0, threads: work.threads() };
    read_ahead(source, ahead, progress, |part| {
        part.runs.iter().try_for_each(|run| {
            let at = part.extent.start() + run.start as u64;
            sink.write_at(at, part.buffer.get(run.clone()).unwrap_or_default())
        })
    })
}

/// Writes `source` in order, zeros and all.
pub fn stream(
    source: &dyn SectorSource,
    sink: &mut dyn StreamSink,
    progress: &dyn Progress,
) -> Result<(), Error> {
    progress.begin("writing raw", source.len());
    pour(source, sink, progress)
}

/// As `stream`, for formats that hold the bytes of the disk; does not begin the step.
pub(super) fn pour(
    source: &dyn SectorSource,
    sink: &mut dyn StreamSink,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let mut buffer = Vec::new();
    let mut done = 0;
    for batch in Batches::new(source, UNIT, BATCH) {
        zeros(sink, batch.start() - done, progress)?;
        buffer.resize(batch.len() as usize, 0);
        source.read_at(batch.start(), &mut buffer)?;
        sink.write(&buffer)?;
        progress.advance(batch.len())?;
        done = batch.end();
    }
    zeros(sink, source.len() - done, progress)
}

/// Writes `count` zeros.
pub(super) fn zeros(
    sink: &mut dyn StreamSink,
    count: u64,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let mut left = count;
    while left > 0 {
        let len = left.min(ZEROS.len() as u64);
        sink.write(ZEROS.get(..len as usize).unwrap_or_default())?;
        progress.advance(len)?;
        left -= len;
    }
    Ok(())
}

/// A raw file: its disk is itself.
#[derive(Debug)]
pub struct Image(Arc<dyn SectorSource>);

impl Image {
    /// The file as it is: any bytes are a raw disk.
    #[must_use]
    pub fn new(source: Arc<dyn SectorSource>) -> Self {
        Self(source)
    }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.0.read_at(offset, buffer)
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        self.0.next_extent(offset)
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        self.0.file_range_at(offset)
    }

    fn whole_file(&self) -> Option<&File> {
        self.0.whole_file()
    }
}

impl image::Image for Image {
    fn format(&self) -> FormatName {
        FormatName::Raw
    }

    fn details(&self) -> Map<String, Value> {
        Map::new()
    }

    fn params(&self) -> Params {
        Params::Raw
    }

    /// In sectors; what the file calls a hole is unallocated.
    fn census(&self) -> Result<Census, Error> {
        let data = self.0.extents().map(|extent| extent.len().div_ceil(SECTOR)).sum();
        let unallocated = self.0.len().div_ceil(SECTOR).saturating_sub(data);
        Ok(Census { unit: SECTOR, data, unallocated, ..Census::default() })
    }

    /// Nothing can be wrong.
    fn check(&self, _: &Work<'_>) -> Result<Findings, Error> {
        Ok(Findings::default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::engine::base::{ByteSource, MemorySink, Silent};

    /// Remembers what was written where.
    #[derive(Default)]
    struct Log(Mutex<Vec<(u64, usize)>>);

    impl PositionalSink for Log {
        fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
            self.0.lock().unwrap().push((offset, bytes.len()));
            Ok(())
        }

        fn set_len(&self, _: u64) -> Result<(), Error> {
            Ok(())
        }
    }

    #[derive(Debug, Default)]
    struct Count(Mutex<(u64, u64)>);

    impl Progress for Count {
        fn begin(&self, _: &str, total: u64) {
            self.0.lock().unwrap().0 += total;
        }

        fn advance(&self, bytes: u64) -> Result<(), Error> {
            self.0.lock().unwrap().1 += bytes;
            Ok(())
        }
    }

    fn sample(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for at in [0, 65_535, 200_000, len - 1] {
            bytes[at.min(len - 1)] = 0xa5;
        }
        bytes
    }

    #[test]
    fn any_length_comes_out_exactly() {
        for len in [1, 511, 512, 65_536, 65_537, 1 << 20, (3 << 20) + 512] {
            let bytes = sample(len);
            let source = ByteSource::new(bytes.clone());
            let sink = MemorySink::default();
            let progress = Count::default();
            write(&source, &sink, &progress).unwrap();
            assert!(sink.into_bytes() == bytes);
            let mut streamed = Vec::new();
            stream(&source, &mut streamed, &progress).unwrap();
            assert!(streamed == bytes);
            assert_eq!(progress.0.into_inner().unwrap(), (len as u64 * 2, len as u64 * 2));
        }
        let sink = MemorySink::default();
        write(&ByteSource::new([]), &sink, &Silent).unwrap();
        assert!(sink.into_bytes().is_empty());
    }

    #[test]
    fn zero_units_are_not_written_even_where_the_source_has_no_holes() {
        let log = Log::default();
        write(&ByteSource::new(sample((3 << 20) + 512)), &log, &Silent).unwrap();
        let unit = UNIT as usize;
        assert_eq!(log.0.into_inner().unwrap(), [(0, unit), (3 * UNIT, unit), (3 << 20, 512)]);
    }
}
