//! Plans a disk: which products it holds, in dependency order, and how large each is.
//!
//! Pure. All defaults are decided here. Invariant: a plan holds no choice; everything after it
//! follows from it.

use super::base::{Content, Error, Kind, Origin};
use super::bootloader::sector;
use super::inputs::Inputs;
use crate::manifest::types::Sector;
use crate::manifest::{FieldPath, Spec};
use crate::units::{ByteSize, SECTOR};

/// A planned disk.
#[derive(Debug)]
pub struct Plan {
    /// What it holds.
    pub products: Vec<Product>,
    /// Its size; none means as large as what it holds.
    pub size: Option<(ByteSize, Origin)>,
}

/// One planned product.
#[derive(Debug)]
pub struct Product {
    /// The document field it came from.
    pub origin: Origin,
    /// Its bytes.
    pub content: Content,
    /// Where it must lie.
    pub place: Place,
}

/// Where a product must lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this offset.
    At(u64),
    /// Behind what is placed before it, aligned to this.
    After {
        /// The offset is a multiple of this.
        align: u64,
    },
}

/// Plans the disk of `spec`.
pub fn plan(spec: &Spec, inputs: &Inputs) -> Result<Plan, Error> {
    let mut products = Vec::new();
    if let Some(sector) = spec.boot.as_ref().and_then(|boot| boot.sector.as_ref()) {
        products.push(boot_sector(sector, inputs)?);
    }
    let size = spec.disk.as_ref().and_then(|disk| disk.size);
    let size = size.map(|size| (size.0, Origin::new("spec.disk.size")));
    if products.is_empty() && size.is_none() {
        let message = "nothing to build: add boot, or disk.size for an empty disk";
        return Err(Error::new(Kind::Document, message).at(&Origin::new("spec")));
    }
    Ok(Plan { products, size })
}

fn boot_sector(given: &Sector, inputs: &Inputs) -> Result<Product, Error> {
    let (origin, bytes) = match &given.message {
        Some(message) => {
            let origin = Origin::new("spec.boot.sector.message");
            (origin.clone(), sector::assemble(message).map_err(|e| e.at(&origin))?)
        }
        None => {
            let path = FieldPath::new("spec.boot.sector.source");
            let origin = Origin::new(path.as_str());
            let input = inputs.get(&path).ok_or_else(|| {
                Error::new(Kind::Document, "sector needs exactly one of: message, source")
                    .at(&origin)
            })?;
            (
                origin.clone(),
                input.bytes().and_then(|bytes| sector::take(&bytes)).map_err(|e| e.at(&origin))?,
            )
        }
    };
    debug_assert!(bytes.len() as u64 <= SECTOR);
    Ok(Product { origin, content: Content::Bytes(bytes.into()), place: Place::At(0) })
}
