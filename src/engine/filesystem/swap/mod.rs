//! Swap areas of Linux: a page that says so, and room.
//!
//! Holds no files. Invariant: all bytes behind the first page are zero.

mod ondisk;

use std::mem::size_of;
use std::sync::Arc;

use uuid::Uuid;
use zerocopy::{FromBytes as _, IntoBytes as _};

use self::ondisk::{INFO_AT, Info, LABEL, LEAST_PAGES, MAGIC, PAGES, VERSION};
use super::{Facts, Identity, Planned, Request, Room};
use crate::engine::base::tree::{Limits, Meta, Time, Tree};
use crate::engine::base::{ByteSource, Error, Kind, Origin, Padded, Placement, SectorSource};

/// Bytes of an area that nobody gave a size.
const DEFAULT: u64 = 1 << 20;

/// How a swap area is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Bytes of a page of the machine that will use it: 4096 to 65536.
    pub page_size: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { page_size: PAGES[0] }
    }
}

/// An area whose length is known.
#[derive(Debug)]
struct Area {
    page: Vec<u8>,
    uuid: Uuid,
    len: u64,
}

/// Plans an area: 1 MiB and the room that is asked for on top.
pub fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    let refused = |message: String| Err(Error::new(Kind::Document, message));
    let page = params.page_size;
    if !PAGES.contains(&page) {
        return refused(format!("a page of swap has {page} bytes, it must be one of {PAGES:?}"));
    }
    if let Some((name, id)) = request.tree.node(Tree::ROOT).entries().into_iter().flatten().next() {
        let error =
            Error::new(Kind::Document, format!("/{name} cannot be on swap: it has no files"));
        return Err(error.at(request.tree.origin(*id)));
    }
    let len = match request.room {
        Room::Exactly(len) => len,
        Room::Fit { bytes, .. } => DEFAULT.saturating_add(bytes).next_multiple_of(page),
    };
    let pages = len / page;
    let Some(last_page) = pages.checked_sub(1).and_then(|last| u32::try_from(last).ok()) else {
        return refused(format!("a swap area of {len} bytes has {pages} pages, 2^32 can be"));
    };
    if pages < LEAST_PAGES {
        let least = LEAST_PAGES * page;
        return refused(format!("a swap area needs {least} bytes, it has {len}"));
    }
    let uuid = uuid(&request.identity)?;
    let info = Info {
        version: VERSION.into(),
        last_page: last_page.into(),
        bad_pages: 0.into(),
        uuid: uuid.into_bytes(),
        label: label(&request.identity)?,
    };
    let mut first = vec![0; INFO_AT];
    first.extend(info.as_bytes());
    // OK to cast: at most 64 KiB.
    first.resize(page as usize - MAGIC.len(), 0);
    first.extend(MAGIC);
    Ok(Box::new(Area { page: first, uuid, len }))
}

impl Planned for Area {
    fn len(&self) -> u64 {
        self.len
    }

    fn uuid(&self) -> Option<String> {
        Some(self.uuid.to_string())
    }

    fn render(self: Box<Self>, _: &Placement) -> Result<Arc<dyn SectorSource>, Error> {
        Ok(Arc::new(Padded::new(Arc::new(ByteSource::new(self.page)), self.len)?))
    }
}

fn uuid(identity: &Identity) -> Result<Uuid, Error> {
    let Some(text) = &identity.uuid else { return Ok(Uuid::new_v5(&identity.seed, b"swap uuid")) };
    Uuid::try_parse(text)
        .map_err(|error| Error::new(Kind::Document, format!("the UUID \"{text}\": {error}")))
}

fn label(identity: &Identity) -> Result<[u8; LABEL], Error> {
    let label = identity.label.as_deref().unwrap_or_default().as_bytes();
    // mkswap(8) ends it with a zero, too.
    if label.len() >= LABEL || label.contains(&0) {
        let message = format!(
            "the label of a swap area has at most {} bytes and no zero, this one has {}",
            LABEL - 1,
            label.len()
        );
        return Err(Error::new(Kind::Document, message));
    }
    let mut found = [0; LABEL];
    found.iter_mut().zip(label).for_each(|(to, from)| *to = *from);
    Ok(found)
}

/// What area `medium` holds; none if it is none.
pub fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    for page in PAGES {
        let mut magic = MAGIC.map(|_| 0);
        if medium.len() < page {
            break;
        }
        medium.read_at(page - MAGIC.len() as u64, &mut magic)?;
        if magic == MAGIC {
            return facts(medium, page).map(Some);
        }
    }
    Ok(None)
}

fn facts(medium: &dyn SectorSource, page: u64) -> Result<Facts, Error> {
    let mut bytes = [0; size_of::<Info>()];
    medium.read_at(INFO_AT as u64, &mut bytes)?;
    let refused = |message: String| Error::new(Kind::Damaged, message);
    let info = Info::read_from_bytes(&bytes).map_err(|error| refused(error.to_string()))?;
    let size = (u64::from(info.last_page.get()) + 1) * page;
    if info.version.get() != VERSION {
        let message = format!("a swap area of version {}, {VERSION} is known", info.version);
        return Err(refused(message));
    }
    if size > medium.len() {
        let message = format!("a swap area of {size} bytes on {} bytes", medium.len());
        return Err(refused(message));
    }
    let end = info.label.iter().position(|byte| *byte == 0).unwrap_or(LABEL);
    let label = info.label.get(..end).filter(|label| !label.is_empty());
    let bad = u64::from(info.bad_pages.get());
    Ok(Facts {
        kind: "swap",
        label: label.map(|label| String::from_utf8_lossy(label).into_owned()),
        uuid: Some(Uuid::from_bytes(info.uuid).to_string()),
        block_size: page,
        size,
        // All but the first page and those that are bad.
        free: size.checked_sub(page.saturating_mul(bad.saturating_add(1))),
        features: Vec::new(),
    })
}

/// The tree: an empty one.
pub fn read(medium: Arc<dyn SectorSource>, _: &Limits) -> Result<Tree, Error> {
    look(medium.as_ref())?.ok_or_else(|| Error::new(Kind::Damaged, "there is no swap area"))?;
    Ok(Tree::new(Meta::directory(Time::default()), Origin::new("swap")))
}
