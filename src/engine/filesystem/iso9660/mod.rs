//! ISO 9660 with Rock Ridge, Joliet and El Torito: a tree becomes an image, an image a tree.
//!
//! Knows no boot loader and no partition table: what lies in the system area is made by whoever asks
//! for it, once the places of all files are known. Invariants: every place is decided from the tree's
//! metadata, no content is read in `plan`; files with several names share one extent. Times are
//! clamped to 1900 to 2155. Extended attributes have no place and are refused (or left out, where
//! `drop_attributes` says so); owners and modes are in Rock Ridge alone.

mod boot;
mod date;
mod geometry;
mod image;
mod layout;
mod names;
mod ondisk;
mod params;
mod read;
mod records;
mod susp;
mod volume;
mod write;

use super::{Planned, Request};
use crate::engine::base::Error;

pub use params::{
    Appended, BootEntry, BootImage, Emulation, Level, Params, Places, Platform, SystemArea,
};
pub use read::{look, read};

/// Decides every place of an image.
pub fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    Ok(Box::new(write::Plan::new(params, request)?))
}
