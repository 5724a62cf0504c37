//! How long a file would be, found by writing it to nowhere.
//!
//! Keeps nothing of what is written. Invariant: what is called exact is the length of the file that
//! `write` makes; else the file is not longer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::units::{Batches, data_runs};
use super::{Label, Measure, Output, Params, qcow2, vmdk, write};
use crate::engine::base::{Error, PositionalSink, SectorSource, Work};
use crate::units::{ByteSize, SECTOR};

/// Remembers how long the file would be.
#[derive(Debug, Default)]
struct Counting {
    end: AtomicU64,
    set: Mutex<Option<u64>>,
}

impl Counting {
    fn len(&self) -> u64 {
        let set = *self.set.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        set.unwrap_or_default().max(self.end.load(Ordering::Relaxed))
    }
}

impl PositionalSink for Counting {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.end.fetch_max(offset.saturating_add(bytes.len() as u64), Ordering::Relaxed);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        *self.set.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(len);
        Ok(())
    }
}

impl Params {
    /// How long the disk of a file becomes that holds a medium of `len` bytes: all formats but raw
    /// hold whole sectors, and a VHD may hold whole cylinders.
    pub fn virtual_size(&self, len: u64) -> Result<u64, Error> {
        if *self == Self::Raw {
            return Ok(len);
        }
        let whole = ByteSize::bytes(len).round_up(SECTOR)?.get();
        match self {
            Self::Vhd(params) => params.virtual_size(whole),
            _ => Ok(whole),
        }
    }

    /// Whether the length of the file depends on how well the data compresses.
    #[must_use]
    pub const fn compresses(&self) -> bool {
        match self {
            Self::Qcow2(params) => !matches!(params.compression, qcow2::Compression::None),
            Self::Vmdk(params) => matches!(params.subformat, vmdk::Subformat::StreamOptimized),
            Self::Raw | Self::Vhd(_) | Self::Vhdx(_) | Self::Vdi(_) => false,
        }
    }
}

/// How long the file of `source` would be. Exact where nothing is compressed; elsewhere an upper
/// bound, unless `exact` says to compress.
pub fn measure(
    source: &dyn SectorSource,
    label: &Label<'_>,
    params: &Params,
    exact: bool,
    work: &Work<'_>,
) -> Result<Measure, Error> {
    match params {
        _ if exact || !params.compresses() => {
            Ok(Measure { required: counted(source, label, params, work)?, exact: true })
        }
        // A compressed cluster is shorter than a cluster, and begins a host cluster only where the
        // last one is full: there are never more host clusters than without compression.
        Params::Qcow2(compressed) => {
            let plain =
                qcow2::Params { compression: qcow2::Compression::None, ..compressed.clone() };
            let required = counted(source, label, &Params::Qcow2(plain), work)?;
            Ok(Measure { required, exact: false })
        }
        _ => Ok(Measure { required: bound_of_stream(source, work)?, exact: false }),
    }
}

/// The length of the file and its companion, by writing them to nowhere.
fn counted(
    source: &dyn SectorSource,
    label: &Label<'_>,
    params: &Params,
    work: &Work<'_>,
) -> Result<u64, Error> {
    let (file, companion) = (Counting::default(), Counting::default());
    let second: Option<&dyn PositionalSink> = match params.companion(label.name) {
        Some(_) => Some(&companion),
        None => None,
    };
    write(source, &Output { label: *label, sink: &file, companion: second }, params, work)?;
    Ok(file.len() + companion.len())
}

/// Grains of a streamOptimized VMDK, and entries of its grain tables (VMware Virtual Disk Format
/// 1.1, "Hosted Sparse Extents" and "Stream-Optimized Compressed Sparse Extents").
const GRAIN: u64 = 64 << 10;
const TABLE_ENTRIES: u64 = 512;

/// The upper bound of a streamOptimized VMDK: every grain that is not zero as deflate's stored
/// blocks, all grain tables, the directory twice, and 1 MiB for headers, descriptor and markers.
fn bound_of_stream(source: &dyn SectorSource, work: &Work<'_>) -> Result<u64, Error> {
    work.progress.begin("measuring", source.len());
    let (mut grains, mut done) = (0, 0);
    let mut buffer = Vec::new();
    for batch in Batches::new(source, GRAIN, 1 << 20) {
        buffer.resize(batch.len() as usize, 0);
        source.read_at(batch.start(), &mut buffer)?;
        let units = |run: std::ops::Range<usize>| (run.len() as u64).div_ceil(GRAIN);
        grains += data_runs(&buffer, GRAIN as usize).map(units).sum::<u64>();
        work.progress.advance(batch.end() - done)?;
        done = batch.end();
    }
    work.progress.advance(source.len() - done)?;
    // A grain's marker, zlib's frame and deflate's block headers fit one more sector each.
    let stored = GRAIN + 2 * 512;
    let tables = source.len().div_ceil(GRAIN * TABLE_ENTRIES);
    Ok(grains * stored + tables * (TABLE_ENTRIES * 4 + 512 + 2 * 4) + (1 << 20))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::engine::base::{ByteSource, MemorySink, Silent};
    use crate::engine::format::FormatName;

    #[test]
    fn exact_is_exact_and_a_bound_is_a_bound() {
        let mut bytes: Vec<u8> =
            (0..3u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        bytes[1 << 20..2 << 20].fill(0);
        let source = ByteSource::new(bytes);
        let work = Work { threads: 1, progress: &Silent };
        let label = Label { name: "a.img", id: Uuid::nil() };
        for (format, options) in [
            (FormatName::Raw, vec![]),
            (FormatName::Qcow2, vec![]),
            (FormatName::Qcow2, vec![("compression", "zstd")]),
            (FormatName::Qcow2, vec![("compression", "zlib")]),
        ] {
            let params = Params::with(format, options).unwrap();
            let sink = MemorySink::default();
            write(&source, &Output { label, sink: &sink, companion: None }, &params, &work)
                .unwrap();
            let real = sink.into_bytes().len() as u64;
            let exact = measure(&source, &label, &params, true, &work).unwrap();
            assert_eq!(exact, Measure { required: real, exact: true });
            let quick = measure(&source, &label, &params, false, &work).unwrap();
            assert_eq!(quick.exact, !params.compresses());
            assert!(quick.required >= real, "{quick:?} {real}");
        }
    }
}
