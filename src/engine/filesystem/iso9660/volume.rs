//! Volume descriptors and path tables.
//!
//! Places nothing. Invariants: texts are padded with spaces, in Joliet with UCS-2 ones; a text that is
//! too long is refused in the primary descriptor and cut in Joliet's, whose fields hold half as much.

use zerocopy::{IntoBytes as _, big_endian as be, little_endian as le};

use super::Params;
use super::geometry::Hierarchy;
use super::ondisk::{
    BootRecord, Both16, Both32, Date17, EL_TORITO, JOLIET_3, PathL, PathM, Record, SECTOR,
    STANDARD_ID, TYPE_BOOT, TYPE_PRIMARY, TYPE_SUPPLEMENTARY, TYPE_TERMINATOR, Volume,
};
use crate::engine::base::{Error, Kind};

/// The texts and dates of a volume.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    system_id: String,
    pub(super) volume_id: String,
    publisher: String,
    preparer: String,
    application: String,
    pub(super) created: Date17,
}

impl Texts {
    /// The texts, if they fit.
    pub(super) fn new(
        params: &Params,
        label: Option<&str>,
        created: Date17,
    ) -> Result<Self, Error> {
        let texts = Self {
            system_id: params.system_id.clone(),
            volume_id: label.unwrap_or(&params.volume_id).to_owned(),
            publisher: params.publisher.clone(),
            preparer: params.preparer.clone(),
            application: params.application.clone(),
            created,
        };
        for (what, text, most) in [
            ("label", &texts.volume_id, 32),
            ("system id", &texts.system_id, 32),
            ("publisher", &texts.publisher, 128),
            ("preparer", &texts.preparer, 128),
            ("application", &texts.application, 128),
        ] {
            if text.len() > most || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                let message = format!(
                    "the {what} \"{}\" has {} bytes; ISO 9660 holds {most} printable ASCII characters",
                    text.escape_debug(),
                    text.len()
                );
                return Err(Error::new(Kind::Document, message));
            }
        }
        Ok(texts)
    }
}

/// Where the two path tables of a tree lie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PathTables {
    pub(super) little: u32,
    pub(super) big: u32,
}

/// The descriptor of the primary tree, or Joliet's.
pub(super) fn descriptor(
    texts: &Texts,
    hierarchy: &Hierarchy,
    root: Record,
    tables: PathTables,
    space: u32,
) -> Vec<u8> {
    let joliet = !matches!(hierarchy.naming, super::names::Naming::Primary(_));
    let mut escapes = [0; 32];
    if joliet {
        escapes.iter_mut().zip(JOLIET_3).for_each(|(to, from)| *to = from);
    }
    Volume {
        kind: if joliet { TYPE_SUPPLEMENTARY } else { TYPE_PRIMARY },
        id: STANDARD_ID,
        version: 1,
        flags: 0,
        system_id: padded(&texts.system_id, joliet),
        volume_id: padded(&texts.volume_id, joliet),
        unused_1: [0; 8],
        space: Both32::new(space),
        escapes,
        set_size: Both16::new(1),
        sequence: Both16::new(1),
        block_size: Both16::new(SECTOR as u16),
        path_table_len: Both32::new(hierarchy.path_table),
        path_l: le::U32::new(tables.little),
        path_l_second: le::U32::new(0),
        path_m: be::U32::new(tables.big),
        path_m_second: be::U32::new(0),
        root,
        root_id: 0,
        volume_set: padded("", joliet),
        publisher: padded(&texts.publisher, joliet),
        preparer: padded(&texts.preparer, joliet),
        application: padded(&texts.application, joliet),
        copyright: padded("", joliet),
        abstract_file: padded("", joliet),
        bibliography: padded("", joliet),
        created: texts.created,
        modified: texts.created,
        expires: Date17::NONE,
        effective: Date17::NONE,
        structure: 1,
        unused_2: 0,
        application_use: [0; 512],
        reserved: [0; 653],
    }
    .as_bytes()
    .to_vec()
}

/// `text` padded with spaces; a last byte that is no UCS-2 character is 0.
fn padded<const N: usize>(text: &str, joliet: bool) -> [u8; N] {
    let mut field = [b' '; N];
    if !joliet {
        field.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        return field;
    }
    field.fill(0);
    let units = text.encode_utf16().chain(std::iter::repeat(u16::from(b' ')));
    for (to, from) in field.chunks_exact_mut(2).zip(units) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    field
}

/// El Torito's descriptor.
pub(super) fn boot_record(catalog: u32) -> Vec<u8> {
    let mut system = [0; 32];
    system.iter_mut().zip(EL_TORITO).for_each(|(to, from)| *to = *from);
    let record = BootRecord {
        kind: TYPE_BOOT,
        id: STANDARD_ID,
        version: 1,
        system,
        unused: [0; 32],
        catalog: le::U32::new(catalog),
    };
    sector(record.as_bytes())
}

/// ECMA-119 9.3: ends the descriptors.
pub(super) fn terminator() -> Vec<u8> {
    sector(&[&[TYPE_TERMINATOR][..], &STANDARD_ID, &[1]].concat())
}

fn sector(bytes: &[u8]) -> Vec<u8> {
    let mut sector = bytes.to_vec();
    sector.resize(SECTOR as usize, 0);
    sector
}

/// ECMA-119 7.9: the little-endian and the big-endian path table.
pub(super) fn path_tables(hierarchy: &Hierarchy) -> [Vec<u8>; 2] {
    let mut little = Vec::with_capacity(hierarchy.path_table as usize);
    let mut big = Vec::with_capacity(hierarchy.path_table as usize);
    for directory in &hierarchy.directories {
        let id_len = directory.id.len().to_le_bytes()[0];
        // Numbers count from 1, and there are at most 65535.
        let parent = u16::try_from(directory.holder + 1).unwrap_or(u16::MAX);
        let l = PathL {
            id_len,
            attribute_len: 0,
            extent: le::U32::new(directory.sector),
            parent: le::U16::new(parent),
        };
        let m = PathM {
            id_len,
            attribute_len: 0,
            extent: be::U32::new(directory.sector),
            parent: be::U16::new(parent),
        };
        for (table, head) in [(&mut little, l.as_bytes()), (&mut big, m.as_bytes())] {
            table.extend(head);
            table.extend(&directory.id);
            table.resize(table.len().next_multiple_of(2), 0);
        }
    }
    [little, big]
}
