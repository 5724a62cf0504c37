//! A file of untrusted sectors, read when it is needed.
//!
//! Keeps the compressed extent that was unpacked last. Invariants: pieces are in order and do not
//! overlap; what lies in none of them is a hole.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use zerocopy::FromBytes;

use super::super::constants::{EXTENT_INLINE, EXTENT_PREALLOCATED, EXTENT_REGULAR};
use super::super::ondisk::{FileExtent, FileExtentPlace};
use super::damaged;
use super::unpack::{LARGEST, Method};
use super::volume::Volume;
use crate::engine::base::{Error, Extent, Kind, SectorSource, read_exact_at, read_pieces, within};

/// Where the bytes of a piece are.
#[derive(Clone, Debug)]
enum Held {
    Here(Box<[u8]>),
    At(u64),
    /// Compressed: address, bytes there, bytes unpacked, and from which of those on.
    Packed(Method, u64, u64, u64, u64),
    PackedHere(Method, Box<[u8]>, u64),
}

/// A run of a file's bytes.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) len: u64,
    held: Held,
}

impl Piece {
    /// The piece that an EXTENT_DATA item says; none for a hole.
    pub(super) fn parse(offset: u64, data: &[u8], volume: &Volume) -> Result<Option<Self>, Error> {
        let bad = |why: String| damaged(format!("the extent at {offset} of a file {why}"));
        let (head, rest) =
            FileExtent::read_from_prefix(data).map_err(|_| bad("is cut off".into()))?;
        let method = Method::of(head.compression)?;
        if head.encryption != 0 || head.other_encoding.get() != 0 {
            return Err(bad("is encrypted or encoded".into()));
        }
        let ram = head.ram_bytes.get();
        if method.is_some() && ram > LARGEST {
            return Err(bad(format!("has {ram} bytes compressed, at most {LARGEST}")));
        }
        match head.kind {
            EXTENT_INLINE => {
                let held = match method {
                    None if rest.len() as u64 != ram => {
                        return Err(bad(format!("has {} of {ram} bytes", rest.len())));
                    }
                    None => Held::Here(rest.into()),
                    Some(method) => Held::PackedHere(method, rest.into(), ram),
                };
                Ok((ram > 0).then_some(Self { offset, len: ram, held }))
            }
            EXTENT_PREALLOCATED => Ok(None),
            EXTENT_REGULAR => {
                let (place, _) = FileExtentPlace::read_from_prefix(rest)
                    .map_err(|_| bad("is cut off".into()))?;
                let (at, on_disk) = (place.disk_bytenr.get(), place.disk_num_bytes.get());
                let (from, len) = (place.offset.get(), place.num_bytes.get());
                if at == 0 {
                    return Ok(None);
                }
                let inside = from.checked_add(len).is_some_and(|end| end <= ram);
                let whole = method.is_none() || on_disk <= LARGEST;
                let enough = method.is_some() || on_disk >= ram;
                if len == 0 || !inside || !whole || !enough || !volume.holds(at, on_disk) {
                    let message =
                        format!("has {len} bytes from {from} on of {ram}, in {on_disk} at {at}");
                    return Err(bad(message));
                }
                let held = match method {
                    None => Held::At(at + from),
                    Some(method) => Held::Packed(method, at, on_disk, ram, from),
                };
                Ok(Some(Self { offset, len, held }))
            }
            other => Err(bad(format!("is of kind {other}, not 0 to 2"))),
        }
    }

    const fn end(&self) -> u64 {
        self.offset + self.len
    }

    /// The bytes, if they are in the tree.
    pub(super) fn inline(&self) -> Option<&[u8]> {
        match &self.held {
            Held::Here(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// A file.
pub(super) struct File {
    volume: Arc<Volume>,
    len: u64,
    pieces: Vec<Piece>,
    /// The piece that was unpacked last.
    unpacked: Mutex<Option<(usize, Arc<[u8]>)>>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BtrfsFile({} bytes, {} pieces)", self.len, self.pieces.len())
    }
}

impl File {
    /// A file of `len` bytes; its pieces are in order, but may overlap.
    pub(super) fn new(volume: Arc<Volume>, len: u64, pieces: Vec<Piece>) -> Result<Self, Error> {
        let mut end = 0;
        for piece in &pieces {
            let next = piece.offset.checked_add(piece.len);
            let (true, Some(next)) = (piece.offset >= end, next) else {
                let message = format!("extents of a file overlap at {}", piece.offset);
                return Err(damaged(message));
            };
            end = next;
        }
        Ok(Self { volume, len, pieces, unpacked: Mutex::new(None) })
    }

    fn first_after(&self, offset: u64) -> usize {
        self.pieces.partition_point(|piece| piece.end() <= offset)
    }

    /// The unpacked bytes of a piece, from the first one that is wanted on.
    fn unpack(&self, number: usize, piece: &Piece) -> Result<(Arc<[u8]>, u64), Error> {
        let from = if let Held::Packed(.., from) = piece.held { from } else { 0 };
        let lock = || self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = lock().as_ref().filter(|(kept, _)| *kept == number) {
            return Ok((Arc::clone(bytes), from));
        }
        // OK to cast: both are at most 128 KiB.
        let bytes = match &piece.held {
            Held::Packed(method, at, on_disk, ram, _) => {
                let mut packed = vec![0; *on_disk as usize];
                self.volume.read(*at, &mut packed)?;
                method.unpack(&packed, *ram as usize)?
            }
            Held::PackedHere(method, packed, ram) => method.unpack(packed, *ram as usize)?,
            Held::Here(_) | Held::At(_) => Vec::new(),
        };
        let bytes: Arc<[u8]> = bytes.into();
        *lock() = Some((number, Arc::clone(&bytes)));
        Ok((bytes, from))
    }

    fn read_piece(&self, number: usize, from: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let Some(piece) = self.pieces.get(number) else { return Ok(()) };
        match &piece.held {
            Held::Here(bytes) => read_exact_at(bytes, from, buffer),
            Held::At(address) => self.volume.read(address + from, buffer),
            Held::Packed(..) | Held::PackedHere(..) => {
                let (bytes, skipped) = self.unpack(number, piece)?;
                read_exact_at(&bytes, skipped + from, buffer)
            }
        }
    }
}

impl SectorSource for File {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Damaged)?;
        let numbered = self.pieces.iter().enumerate().skip(self.first_after(offset));
        let pieces =
            numbered.filter_map(|(n, piece)| Some((Extent::new(piece.offset, piece.end())?, n)));
        read_pieces(pieces, offset, buffer, |n, from, part| self.read_piece(n, from, part))
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let piece = self.pieces.get(self.first_after(offset))?;
        Extent::new(piece.offset.max(offset), piece.end().min(self.len))
    }
}
