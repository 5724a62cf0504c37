//! Sizes as types: the only place where byte counts are calculated.
//!
//! Does not read, write or know any format. Invariant: no operation wraps around; what does not
//! fit 64 bits is an error that carries the operands.

mod quantity;
mod size;

pub use quantity::{QuantityError, parse_size};
pub use size::{ByteSize, SECTOR, SizeOverflow};
