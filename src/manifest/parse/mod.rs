//! Text to documents: YAML streams and JSON, with the place of every field.
//!
//! ```text
//! text ──tree──▶ keys and values with places ──overrides──▶ ──value──▶ JSON ──typed──▶ VMImage
//! ```
//!
//! Does not judge what a document asks for (see `check`). Invariant: what is accepted means the
//! same to `kubectl apply`; nothing panics, and work is bounded by the limits in `tree`.

mod config_map;
mod error;
mod json;
mod overrides;
mod place;
mod scalar;
mod tree;
mod typed;
mod value;

pub use config_map::ConfigMaps;
pub use error::{ErrorKind, ParseError};
pub use overrides::{Override, OverrideError};
pub use place::{Place, Places};
pub use scalar::ScalarError;
pub use tree::{MAX_DEPTH, MAX_NODES, MAX_TEXT};
pub use typed::from_json;

use super::types::VMImage;

/// A document and where its fields stand.
#[derive(Clone, Debug)]
pub struct Document {
    /// The document.
    pub image: VMImage,
    /// The places of its fields in the text.
    pub places: Places,
}

/// Every document of a YAML stream, or the one of a JSON text, after `overrides` were put into it.
pub fn parse(text: &str, overrides: &[Override]) -> Result<Vec<Document>, ParseError> {
    let trees = tree::read(&json::without_surrogates(text))?;
    if trees.is_empty() {
        return Err(ErrorKind::NoDocument.at(None));
    }
    trees.into_iter().map(|tree| document(tree, overrides)).collect()
}

/// The documents of a YAML stream, and the ConfigMaps beside them, by name: `parse` refuses those.
pub fn parse_beside_config_maps(
    text: &str,
    overrides: &[Override],
) -> Result<(Vec<Document>, ConfigMaps), ParseError> {
    let trees = tree::read(&json::without_surrogates(text))?;
    let (maps, trees): (Vec<_>, Vec<_>) = trees.into_iter().partition(config_map::is_one);
    if trees.is_empty() {
        return Err(ErrorKind::NoDocument.at(None));
    }
    let maps = config_map::read(maps)?;
    let documents = trees.into_iter().map(|tree| document(tree, overrides));
    Ok((documents.collect::<Result<_, _>>()?, maps))
}

fn document(tree: tree::Node, overrides: &[Override]) -> Result<Document, ParseError> {
    typed::check_kind(&tree)?;
    let tree = overrides.iter().try_fold(tree, |tree, given| overrides::apply(&tree, given))?;
    let json = value::json(&tree)?;
    let places = Places::of_tree(tree);
    let image = typed::image(json, &places)?;
    Ok(Document { image, places })
}
