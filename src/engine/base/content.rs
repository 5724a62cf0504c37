//! What a region of a medium holds: bytes, sectors of another product, or bytes that can only be
//! computed once their place is known.
//!
//! Does not place anything. Invariant: a content's length is known before layout, and `finish` of
//! a late content yields exactly that many bytes.

use std::fmt;
use std::sync::Arc;

use super::{Error, Extent, Kind, SectorSource};

/// What a region holds.
#[derive(Clone)]
pub enum Content {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// The sectors of another product.
    Sectors(Arc<dyn SectorSource>),
    /// Bytes that depend on where they lie.
    Late(Arc<Late>),
}

/// Computes bytes for a place.
pub type Finish = Box<dyn Fn(&Placement) -> Vec<u8> + Send + Sync>;

/// Bytes that must know their own place, such as a boot loader's block list. Refused where the
/// data is checksummed or compressed before its place is known.
pub struct Late {
    /// Number of bytes.
    pub len: u64,
    /// The offset must be a multiple of this.
    pub align: u64,
    /// Whether the bytes may be split over several extents.
    pub contiguous: bool,
    /// Computes the bytes for a place.
    pub finish: Finish,
}

/// Where a content came to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The extents in order of the content's bytes.
    pub extents: Vec<Extent>,
    /// Length of the whole medium.
    pub medium: u64,
    /// Where the volume begins in which the content lies, from where some boot loaders count; of
    /// what lies in no volume, and of a volume itself, 0.
    pub volume: u64,
}

impl Content {
    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Sectors(source) => source.len(),
            Self::Late(late) => late.len,
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the offset must be a multiple of.
    #[must_use]
    pub fn align(&self) -> u64 {
        match self {
            Self::Late(late) => late.align.max(1),
            Self::Bytes(_) | Self::Sectors(_) => 1,
        }
    }

    /// The content with late bytes computed for `placement`.
    pub fn settle(self, placement: &Placement) -> Result<Self, Error> {
        let Self::Late(late) = self else { return Ok(self) };
        if late.contiguous && placement.extents.len() != 1 {
            return Err(Error::new(
                Kind::Document,
                format!(
                    "{} bytes must lie in one piece but got {} pieces",
                    late.len,
                    placement.extents.len()
                ),
            ));
        }
        let bytes = (late.finish)(placement);
        assert_eq!(bytes.len() as u64, late.len, "late content keeps the length it announced");
        Ok(Self::Bytes(bytes.into()))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Bytes(_) => "Bytes",
            Self::Sectors(_) => "Sectors",
            Self::Late(_) => "Late",
        };
        f.debug_tuple(name).field(&self.len()).finish()
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late")
            .field("len", &self.len)
            .field("align", &self.align)
            .field("contiguous", &self.contiguous)
            .finish_non_exhaustive()
    }
}
