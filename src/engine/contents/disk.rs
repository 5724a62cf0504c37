//! The step that takes the files of a disk image.
//!
//! Writes nothing into the image and opens nothing that it names. Invariant: its format is what the
//! document says; `auto` alone looks at its bytes.

use super::Context;
use super::sets::{medium, selection};
use crate::engine::base::tree::{Tree, TreePath};
use crate::engine::base::{Deny, Error, Origin, SectorSource};
use crate::engine::format::{self, FormatName};
use crate::engine::payload::{Part, copy_tree};
use crate::engine::view::{self, Choice};
use crate::manifest::FieldPath;
use crate::manifest::types::{FromImage, ImageFormat};

pub(super) fn from_image(
    tree: &mut Tree,
    image: &FromImage,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let origin = Origin::new(path.as_str());
    let source = medium(context.given.content(&path.member("source"))?, path)?;
    let format = named(image.format, source.as_ref())
        .map_err(|e| e.at(&Origin::new(path.member("format").as_str())))?;
    let disk: std::sync::Arc<dyn SectorSource> =
        format::open(source, format, &Deny).map_err(|e| e.at(&origin))?;
    let choice = image.partition.map_or(Choice::Only, Choice::Number);
    let (_, from) = view::tree(&disk, &choice, &context.limits)
        .map_err(|e| e.at(&Origin::new(path.member("partition").as_str())))?;
    let part = Part {
        path: TreePath::new(image.from.as_bytes())?,
        selection: selection(&image.include, &image.exclude, path)?,
        implied: context.env.time,
    };
    let at = TreePath::new(image.path.as_bytes())?;
    copy_tree(&from, &part, tree, &at, &origin)?;
    Ok(())
}

fn named(format: ImageFormat, source: &dyn SectorSource) -> Result<FormatName, Error> {
    Ok(match format {
        ImageFormat::Raw => FormatName::Raw,
        ImageFormat::Qcow2 => FormatName::Qcow2,
        ImageFormat::Vmdk => FormatName::Vmdk,
        ImageFormat::Vhd => FormatName::Vhd,
        ImageFormat::Vhdx => FormatName::Vhdx,
        ImageFormat::Vdi => FormatName::Vdi,
        ImageFormat::Auto => format::detect(source)?,
    })
}
