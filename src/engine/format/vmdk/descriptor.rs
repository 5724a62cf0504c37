//! Reads the descriptor of a VMDK, which is untrusted text.
//!
//! Opens nothing and follows nothing. Source: "Virtual Disk Format 5.0", section "The Descriptor
//! File". Invariants: at most `MAX_EXTENTS` extents; names of files are plain names, never paths;
//! a disk that needs another below it is refused.

use super::text::FIRST_LINE;
use crate::engine::base::{Error, Kind};

/// Bytes of a descriptor that are read.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Lines that name an extent.
pub(super) const MAX_EXTENTS: usize = 4096;

/// `parentCID` of a disk that is whole by itself.
const NO_PARENT: u32 = u32::MAX;

/// What a descriptor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) cid: u32,
    pub(super) kind: CreateType,
    /// How the names are encoded; UTF-8 where nothing is said.
    pub(super) encoding: Option<String>,
    pub(super) extents: Vec<Extent>,
    /// `ddb.adapterType`.
    pub(super) adapter: Option<String>,
    /// `ddb.virtualHWVersion`.
    pub(super) hardware: Option<String>,
}

/// `createType`, of those that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CreateType {
    MonolithicSparse,
    MonolithicFlat,
    StreamOptimized,
    TwoGbMaxExtentSparse,
    TwoGbMaxExtentFlat,
}

impl CreateType {
    const ALL: [Self; 5] = [
        Self::MonolithicSparse,
        Self::MonolithicFlat,
        Self::StreamOptimized,
        Self::TwoGbMaxExtentSparse,
        Self::TwoGbMaxExtentFlat,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::MonolithicSparse => "monolithicSparse",
            Self::MonolithicFlat => "monolithicFlat",
            Self::StreamOptimized => "streamOptimized",
            Self::TwoGbMaxExtentSparse => "twoGbMaxExtentSparse",
            Self::TwoGbMaxExtentFlat => "twoGbMaxExtentFlat",
        }
    }

    /// Whether the descriptor lies in its only extent.
    pub(super) const fn is_embedded(self) -> bool {
        matches!(self, Self::MonolithicSparse | Self::StreamOptimized)
    }
}

/// A line that names an extent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Length of its part of the disk.
    pub(super) sectors: u64,
    pub(super) data: Data,
}

/// Where an extent's data lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// Nowhere: it is zero.
    Zero,
    /// In a raw file, from this sector on.
    Flat(Vec<u8>, u64),
    /// In a sparse extent.
    Sparse(Vec<u8>),
}

impl Descriptor {
    /// Reads the text, which ends at the first zero byte.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        if !text.starts_with(FIRST_LINE.as_bytes()) {
            let start = String::from_utf8_lossy(text.get(..text.len().min(32)).unwrap_or_default());
            return Err(damaged(format!(
                "the descriptor begins with \"{}\", not with \"{FIRST_LINE}\"",
                start.escape_debug()
            )));
        }
        let mut fields = Fields::default();
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            fields.line(line.trim_ascii())?;
        }
        fields.finish()
    }
}

/// The fields as they are found.
#[derive(Default)]
struct Fields {
    version: Option<Vec<u8>>,
    cid: Option<u32>,
    parent: Option<u32>,
    parent_name: Option<Vec<u8>>,
    create_type: Option<Vec<u8>>,
    encoding: Option<String>,
    adapter: Option<String>,
    hardware: Option<String>,
    extents: Vec<Extent>,
}

impl Fields {
    fn line(&mut self, line: &[u8]) -> Result<(), Error> {
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        if let Some(extent) = extent(line)? {
            if self.extents.len() == MAX_EXTENTS {
                return Err(damaged(format!("more than {MAX_EXTENTS} extents")));
            }
            self.extents.push(extent);
            return Ok(());
        }
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
            return Err(damaged(format!("the descriptor's line {}", quoted(line))));
        };
        let (name, value) = line.split_at(equals);
        let value = unquoted(value.get(1..).unwrap_or_default().trim_ascii());
        let text = || Some(String::from_utf8_lossy(value).into_owned());
        match name.trim_ascii() {
            b"version" => once(&mut self.version, value.to_vec(), "version")?,
            b"CID" => once(&mut self.cid, content_id("CID", value)?, "CID")?,
            b"parentCID" => once(&mut self.parent, content_id("parentCID", value)?, "parentCID")?,
            b"parentFileNameHint" => self.parent_name = Some(value.to_vec()),
            b"createType" => once(&mut self.create_type, value.to_vec(), "createType")?,
            b"encoding" => self.encoding = text(),
            b"ddb.adapterType" => self.adapter = text(),
            b"ddb.virtualHWVersion" => self.hardware = text(),
            // There are many others, and they change nothing about the contents.
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Descriptor, Error> {
        let missing = |name: &str| damaged(format!("the descriptor has no line {name}="));
        let version = self.version.ok_or_else(|| missing("version"))?;
        if !matches!(&*version, b"1" | b"2" | b"3") {
            let message = format!("descriptor version {}; 1 to 3 are known", quoted(&version));
            return Err(unsupported(message));
        }
        let create_type = self.create_type.ok_or_else(|| missing("createType"))?;
        let cid = self.cid.ok_or_else(|| missing("CID"))?;
        if self.parent.ok_or_else(|| missing("parentCID"))? != NO_PARENT {
            let name = self.parent_name.unwrap_or_default();
            return Err(unsupported(format!(
                "parent {} (a delta disk), which is never opened",
                quoted(&name)
            )));
        }
        let kind = CreateType::ALL.into_iter().find(|kind| kind.as_str().as_bytes() == create_type);
        let Some(kind) = kind else {
            let known = CreateType::ALL.map(CreateType::as_str).join(", ");
            let message = format!("createType {}; {known} are read", quoted(&create_type));
            return Err(unsupported(message));
        };
        if self.extents.is_empty() {
            return Err(damaged("the descriptor names no extent"));
        }
        let Self { encoding, extents, adapter, hardware, .. } = self;
        Ok(Descriptor { cid, kind, encoding, extents, adapter, hardware })
    }
}

/// Fills a field that must not be there twice.
fn once<T>(field: &mut Option<T>, value: T, name: &str) -> Result<(), Error> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(damaged(format!("the descriptor has two lines {name}="))),
    }
}

fn content_id(name: &str, value: &[u8]) -> Result<u32, Error> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    // A sign would be taken for a part of the number.
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16)
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| damaged(format!("{name} is {}, not a number of 32 bits", quoted(value))))
}

/// The extent that this line names: `RW 4192256 SPARSE "test-s001.vmdk"`, `RW 1 FLAT "a" 0`.
fn extent(line: &[u8]) -> Result<Option<Extent>, Error> {
    let (access, rest) = word(line);
    match access {
        b"RW" | b"RDONLY" => {}
        b"NOACCESS" => return Err(unsupported("an extent that nobody may read (NOACCESS)")),
        _ => return Ok(None),
    }
    let bad = |what: &str| damaged(format!("{what} in the descriptor's line {}", quoted(line)));
    let (sectors, rest) = word(rest);
    let sectors = number(sectors).filter(|n| *n > 0).ok_or_else(|| bad("no number of sectors"))?;
    let (kind, rest) = word(rest);
    let data = match kind {
        b"ZERO" if rest.is_empty() => Data::Zero,
        b"ZERO" => return Err(bad("a name of a ZERO extent")),
        b"FLAT" | b"SPARSE" => {
            let (name, rest) = name(rest).ok_or_else(|| bad("no name in quotes"))?;
            plain(name)?;
            match (kind, rest) {
                (b"SPARSE", b"") => Data::Sparse(name.to_vec()),
                (b"FLAT", b"") => return Err(bad("no offset of a FLAT extent")),
                (b"FLAT", offset) => {
                    let offset = number(offset).ok_or_else(|| bad("no number as offset"))?;
                    Data::Flat(name.to_vec(), offset)
                }
                _ => return Err(bad("something behind the name")),
            }
        }
        other => return Err(unsupported(format!("an extent of type {}", quoted(other)))),
    };
    Ok(Some(Extent { sectors, data }))
}

/// Refuses the name of a file that is, or could be, in another directory than the descriptor.
fn plain(name: &[u8]) -> Result<(), Error> {
    let path =
        name.iter().any(|byte| matches!(byte, b'/' | b'\\' | b':') || byte.is_ascii_control());
    if path || matches!(name, b"" | b"." | b"..") {
        let message = format!("extent file {}, which is no plain file name", quoted(name));
        return Err(unsupported(message));
    }
    Ok(())
}

/// The first word, and what follows it without leading blanks.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_ascii_start())
}

/// The name in quotes, and what follows it.
fn name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let (name, rest) = text.split_at(text.iter().position(|byte| *byte == b'"')?);
    Some((name, rest.get(1..)?.trim_ascii_start()))
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// The text for a message: readable, in quotes, not long.
pub(super) fn quoted(text: &[u8]) -> String {
    let shown = String::from_utf8_lossy(text.get(..text.len().min(200)).unwrap_or_default());
    format!("\"{}\"", shown.escape_debug())
}

pub(super) fn damaged(what: impl AsRef<str>) -> Error {
    Error::new(Kind::Damaged, format!("damaged vmdk file: {}", what.as_ref()))
}

pub(super) fn unsupported(what: impl AsRef<str>) -> Error {
    Error::new(Kind::Unsupported, format!("vmdk file with {}", what.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Disk DescriptorFile\nversion=1\nCID=1234abcd\nparentCID=ffffffff\n\
        createType=\"twoGbMaxExtentFlat\"\nRW 4192256 FLAT \"a b-f001.vmdk\" 0\n\
        RDONLY 12 FLAT \"f2\" 63\nRW 5 SPARSE \"s\"\nRW 6 ZERO\n\
        ddb.adapterType = \"lsilogic\"\nddb.virtualHWVersion = \"10\"\n";

    fn refused(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        Descriptor::parse(GOOD.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn all_ways_to_end_a_line_are_read() {
        let wanted = Descriptor {
            cid: 0x1234_abcd,
            kind: CreateType::TwoGbMaxExtentFlat,
            encoding: None,
            extents: vec![
                Extent { sectors: 4_192_256, data: Data::Flat(b"a b-f001.vmdk".to_vec(), 0) },
                Extent { sectors: 12, data: Data::Flat(b"f2".to_vec(), 63) },
                Extent { sectors: 5, data: Data::Sparse(b"s".to_vec()) },
                Extent { sectors: 6, data: Data::Zero },
            ],
            adapter: Some("lsilogic".to_owned()),
            hardware: Some("10".to_owned()),
        };
        for text in [
            GOOD.to_owned(),
            GOOD.replace('\n', "\r\n"),
            GOOD.replace('\n', " \n\n# comment = \"x\"\n\t"),
            GOOD.replace(' ', "  \t"),
            format!("{GOOD}\0version=9"),
        ] {
            if text.contains("  \t") {
                // The first line and the names hold blanks that count.
                let text =
                    text.replacen("#  \tDisk  \tDesc", "# Disk Desc", 1).replace("a  \tb", "a b");
                assert_eq!(Descriptor::parse(text.as_bytes()).unwrap(), wanted);
            } else {
                assert_eq!(Descriptor::parse(text.as_bytes()).unwrap(), wanted, "{text:?}");
            }
        }
        let other = GOOD.replacen("CID=", "encoding=\"GBK\"\nCID=", 1);
        let mut other = other.into_bytes();
        let at = other.windows(3).position(|w| w == b"a b").unwrap();
        other[at] = 0xe9; // not UTF-8
        let parsed = Descriptor::parse(&other).unwrap();
        assert_eq!(parsed.encoding.as_deref(), Some("GBK"));
        let name = b"\xe9 b-f001.vmdk".to_vec();
        assert_eq!(parsed.extents[0].data, Data::Flat(name, 0));
    }

    #[test]
    fn what_a_descriptor_must_not_say_is_refused_with_its_words() {
        for (from, to, says) in [
            ("# Disk", "# disk", "begins with \"# disk DescriptorFile"),
            ("version=1\n", "", "no line version="),
            ("version=1\n", "version=4\n", "descriptor version \"4\"; 1 to 3 are known"),
            ("version=1\n", "version=1\nversion=1\n", "two lines version="),
            ("CID=1234abcd", "CID=1234abcdef", "CID is \"1234abcdef\", not a number of 32 bits"),
            ("CID=1234abcd", "CID=+1", "CID is \"+1\""),
            ("CID=1234abcd", "CID=", "CID is \"\""),
            ("CID=1234abcd\n", "", "no line CID="),
            ("parentCID=ffffffff\n", "", "no line parentCID="),
            (
                "parentCID=ffffffff",
                "parentFileNameHint=\"../base.vmdk\"\nparentCID=00000001",
                "parent \"../base.vmdk\" (a delta disk), which is never opened",
            ),
            ("twoGbMaxExtentFlat", "vmfs", "createType \"vmfs\"; monolithicSparse, "),
            ("twoGbMaxExtentFlat", "seSparse", "createType \"seSparse\""),
            ("createType", "x", "no line createType="),
            ("RW 5 SPARSE", "RW 5 VMFSSPARSE", "an extent of type \"VMFSSPARSE\""),
            ("RW 5 SPARSE", "RW 5 SESPARSE", "an extent of type \"SESPARSE\""),
            ("RW 5", "NOACCESS 5", "nobody may read"),
            ("RW 5", "rw 5", "the descriptor's line \"rw 5"),
            ("RW 5", "RW 0", "no number of sectors"),
            ("RW 5", "RW -5", "no number of sectors"),
            ("RW 5", "RW 99999999999999999999", "no number of sectors"),
            ("\"s\"", "s", "no name in quotes"),
            ("\"s\"", "\"s", "no name in quotes"),
            ("\"s\"", "\"s\" 0", "something behind the name"),
            ("\"f2\" 63", "\"f2\"", "no offset of a FLAT extent"),
            ("\"f2\" 63", "\"f2\" 6a", "no number as offset"),
            ("6 ZERO", "6 ZERO \"x\"", "a name of a ZERO extent"),
            ("\"f2\"", "\"/etc/shadow\"", "\"/etc/shadow\", which is no plain file name"),
            ("\"f2\"", "\"../f2\"", "\"../f2\", which is no plain file name"),
            ("\"f2\"", "\"..\"", "no plain file name"),
            ("\"f2\"", "\"C:f2\"", "no plain file name"),
            ("\"f2\"", "\"a\\b\"", "\"a\\\\b\", which is no plain file name"),
            ("\"f2\"", "\"\"", "no plain file name"),
            ("RW 6 ZERO", "RW 6", "an extent of type \"\""),
            ("CID=1234", "CID\u{0}=1234", "the descriptor's line \"CID\""),
        ] {
            let text = refused(from, to);
            assert!(text.contains(says), "{to}: {text}");
        }
        let head = &GOOD[..GOOD.find("RW").unwrap()];
        assert!(Descriptor::parse(head.as_bytes()).is_err());
        let many = format!("{head}{}", "RW 1 ZERO\n".repeat(MAX_EXTENTS + 1));
        let error = Descriptor::parse(many.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("more than 4096 extents"), "{error}");
    }
}
