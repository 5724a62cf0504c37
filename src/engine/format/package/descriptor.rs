//! Reads untrusted OVF descriptors: the files, the disks, and a little about the machine.
//!
//! Opens nothing. Invariants: no document type, so no entity beyond those of XML; depth and lists
//! are bounded; namespaces' prefixes are ignored, since writers choose them freely.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use crate::engine::base::{Error, Kind};

/// The longest descriptor that is read.
pub(super) const MOST: u64 = 4 << 20;

/// Elements in elements; files; disks.
const MOST_DEPTH: usize = 64;
const MOST_ENTRIES: usize = 1024;

/// `File` in `References` (DSP0243 7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) size: Option<u64>,
    /// `gzip`, or that the file is cut in chunks.
    pub(super) packed: bool,
}

/// `Disk` in `DiskSection` (DSP0243 9.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VirtualDisk {
    pub(super) id: String,
    /// Empty for a disk that is made empty.
    pub(super) file_ref: String,
    /// In bytes.
    pub(super) capacity: Option<u64>,
    pub(super) format: String,
}

/// What a descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) name: Option<String>,
    pub(super) system_type: Option<String>,
    pub(super) os: Option<u64>,
    pub(super) cpus: Option<u64>,
    /// In bytes.
    pub(super) memory: Option<u64>,
    pub(super) firmware: Option<String>,
    pub(super) files: Vec<File>,
    pub(super) disks: Vec<VirtualDisk>,
}

fn damaged(message: impl std::fmt::Display) -> Error {
    Error::new(Kind::Damaged, format!("the OVF descriptor {message}"))
}

/// Reads a descriptor.
pub(super) fn parse(bytes: &[u8]) -> Result<Descriptor, Error> {
    let text = std::str::from_utf8(bytes).map_err(|e| damaged(format!("is not UTF-8: {e}")))?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut parser = Parser::default();
    loop {
        let event = reader.read_event();
        let at = reader.buffer_position();
        let event = event.map_err(|e| damaged(format!("is no XML at offset {at}: {e}")))?;
        match event {
            Event::Start(start) => parser.begin(&start, at)?,
            Event::Empty(start) => {
                parser.begin(&start, at)?;
                parser.end();
            }
            Event::End(_) => parser.end(),
            Event::Text(text) => parser.text.push_str(&text.xml10_content()),
            Event::CData(text) => parser.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let known = quick_xml::escape::unescape(&format!("&{};", &*reference))
                    .map(|text| parser.text.push_str(&text));
                known.map_err(|e| damaged(format!("has a reference at offset {at}: {e}")))?;
            }
            Event::DocType(_) => {
                return Err(damaged(format!(
                    "has a document type at offset {at}; none is allowed"
                )));
            }
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
    if !parser.open.is_empty() {
        return Err(damaged("ends inside of an element"));
    }
    if !parser.envelope {
        return Err(damaged("has no Envelope"));
    }
    Ok(parser.found)
}

/// A descriptor being read.
#[derive(Default)]
struct Parser {
    /// The names of the elements that are open, without prefixes.
    open: Vec<String>,
    text: String,
    envelope: bool,
    item: Item,
    found: Descriptor,
}

/// The fields of an `Item` that matter.
#[derive(Default)]
struct Item {
    resource: String,
    quantity: String,
    units: String,
}

impl Parser {
    fn begin(&mut self, start: &BytesStart<'_>, at: u64) -> Result<(), Error> {
        let name = start.local_name().into_inner().to_owned();
        if self.open.is_empty() && (name != "Envelope" || self.envelope) {
            let message =
                format!("has \"{}\" at offset {at} where Envelope belongs", name.escape_debug());
            return Err(damaged(message));
        }
        if self.open.len() >= MOST_DEPTH {
            return Err(damaged(format!("is deeper than {MOST_DEPTH} elements at offset {at}")));
        }
        let mut attributes = BTreeMap::new();
        for attribute in start.attributes() {
            let wrong = |e: &dyn std::fmt::Display| {
                damaged(format!("has an attribute before offset {at}: {e}"))
            };
            let attribute = attribute.map_err(|e| wrong(&e))?;
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| wrong(&e))?;
            attributes
                .insert(attribute.key.local_name().into_inner().to_owned(), value.into_owned());
        }
        let parent = self.open.last().cloned().unwrap_or_default();
        self.element(&name, &parent, attributes)?;
        self.open.push(name);
        self.text.clear();
        Ok(())
    }

    fn element(
        &mut self,
        name: &str,
        parent: &str,
        mut attributes: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let found = &mut self.found;
        let mut take = |key: &str| attributes.remove(key);
        match (parent, name) {
            ("", _) => self.envelope = true,
            ("References", "File") => {
                let size =
                    take("size").map(|size| number(&size, "the size of a file")).transpose()?;
                let packed = take("compression").is_some_and(|how| how != "identity")
                    || take("chunkSize").is_some();
                let (id, href) = (take("id").unwrap_or_default(), take("href").unwrap_or_default());
                found.files.push(File { id, href, size, packed });
            }
            ("DiskSection", "Disk") => {
                let units = take("capacityAllocationUnits").unwrap_or_default();
                let capacity = take("capacity");
                // "${name}" stands for a property: not known here.
                let known = capacity.filter(|capacity| !capacity.starts_with('$'));
                let capacity =
                    known.map(|capacity| scaled(&capacity, &units, "the capacity of a disk"));
                found.disks.push(VirtualDisk {
                    id: take("diskId").unwrap_or_default(),
                    file_ref: take("fileRef").unwrap_or_default(),
                    capacity: capacity.transpose()?,
                    format: take("format").unwrap_or_default(),
                });
            }
            (_, "VirtualSystem") if found.name.is_none() => found.name = take("id"),
            ("VirtualSystem", "OperatingSystemSection") => {
                found.os = take("id").and_then(|id| id.parse().ok());
            }
            (_, "Config" | "ExtraConfig") if take("key").as_deref() == Some("firmware") => {
                found.firmware = take("value");
            }
            (_, "Item") => self.item = Item::default(),
            _ => {}
        }
        if found.files.len().max(found.disks.len()) > MOST_ENTRIES {
            return Err(damaged(format!("names more than {MOST_ENTRIES} files or disks")));
        }
        Ok(())
    }

    fn end(&mut self) {
        let Some(name) = self.open.pop() else { return };
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        match (self.open.last().map(String::as_str), name.as_str()) {
            (Some("Item"), "ResourceType") => self.item.resource = text.to_owned(),
            (Some("Item"), "VirtualQuantity") => self.item.quantity = text.to_owned(),
            (Some("Item"), "AllocationUnits") => self.item.units = text.to_owned(),
            (Some("System"), "VirtualSystemType") => {
                self.found.system_type = Some(text.to_owned());
            }
            // CIM_ResourceAllocationSettingData.ResourceType: 3 processor, 4 memory.
            (_, "Item") if self.item.resource == "3" => {
                self.found.cpus = self.item.quantity.parse().ok();
            }
            (_, "Item") if self.item.resource == "4" => {
                self.found.memory = scaled(&self.item.quantity, &self.item.units, "memory").ok();
            }
            _ => {}
        }
    }
}

fn number(text: &str, what: &str) -> Result<u64, Error> {
    text.trim()
        .parse()
        .map_err(|_| damaged(format!("says \"{}\" for {what}: no number", text.escape_debug())))
}

/// A number in units of DSP0004 annex C.1: `byte`, `byte * 2^20`, `MegaBytes` of older writers.
fn scaled(text: &str, units: &str, what: &str) -> Result<u64, Error> {
    let number = number(text, what)?;
    let unknown = || damaged(format!("counts {what} in \"{}\"", units.escape_debug()));
    let compact: String = units.to_ascii_lowercase().split_whitespace().collect();
    let factor = match compact.as_str() {
        "" | "byte" | "bytes" => 1,
        "kilobytes" | "kb" => 1 << 10,
        "megabytes" | "mb" => 1 << 20,
        "gigabytes" | "gb" => 1 << 30,
        power => {
            let (base, exponent) =
                power.strip_prefix("byte*").and_then(|p| p.split_once('^')).ok_or_else(unknown)?;
            let base: u64 = base.parse().map_err(|_| unknown())?;
            let exponent = exponent.parse().map_err(|_| unknown())?;
            base.checked_pow(exponent).ok_or_else(unknown)?
        }
    };
    number.checked_mul(factor).ok_or_else(|| {
        damaged(format!("says {number} times {factor} for {what}: more than 2^64 bytes"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(inside: &str) -> String {
        format!("<ovf:Envelope xmlns:ovf=\"x\">{inside}</ovf:Envelope>")
    }

    #[test]
    fn files_disks_and_machine_are_found() {
        let text = wrapped(
            r#"<References><File ovf:href="a&amp;b.vmdk" ovf:id="f" ovf:size="7"/><File href="c" id="g" compression="gzip"/></References>
            <DiskSection><Info/><Disk capacity="3" capacityAllocationUnits="byte * 2^30" diskId="d" fileRef="f" format="u"/><Disk capacity="${x}" diskId="e"/></DiskSection>
            <VirtualSystem id="vm"><OperatingSystemSection ovf:id="96"/><VirtualHardwareSection>
            <System><vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>
            <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
            <Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
            <vmw:Config vmw:key="firmware" vmw:value="efi"/></VirtualHardwareSection></VirtualSystem>"#,
        );
        let found = parse(text.as_bytes()).unwrap();
        let file = File { id: "f".into(), href: "a&b.vmdk".into(), size: Some(7), packed: false };
        assert_eq!(found.files[0], file);
        assert!(found.files[1].packed);
        assert_eq!(found.disks[0].capacity, Some(3 << 30));
        assert_eq!((found.disks[1].capacity, found.disks[1].file_ref.as_str()), (None, ""));
        assert_eq!((found.cpus, found.memory), (Some(2), Some(512 << 20)));
        assert_eq!((found.os, found.firmware.as_deref()), (Some(96), Some("efi")));
        assert_eq!(
            (found.name.as_deref(), found.system_type.as_deref()),
            (Some("vm"), Some("vmx-13"))
        );
    }

    #[test]
    fn what_is_no_descriptor_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(80), "</a>".repeat(80));
        let many = wrapped(&format!("<References>{}</References>", "<File/>".repeat(1025)));
        let disk = |capacity: &str, units: &str| {
            wrapped(&format!(
                "<DiskSection><Disk capacity=\"{capacity}\" capacityAllocationUnits=\"{units}\"/></DiskSection>"
            ))
        };
        for (text, why) in [
            (String::new(), "has no Envelope"),
            ("<a/>".to_owned(), "has \"a\" at offset 4 where Envelope belongs"),
            ("<Envelope/><Envelope/>".to_owned(), "where Envelope belongs"),
            ("<Envelope>".to_owned(), "ends inside of an element"),
            ("<Envelope></a>".to_owned(), "is no XML at offset"),
            (
                "<!DOCTYPE a [<!ENTITY x \"y\">]><Envelope/>".to_owned(),
                "has a document type at offset",
            ),
            (wrapped("&x;"), "has a reference at offset"),
            (wrapped("<a b=\"&x;\"/>"), "has an attribute before offset"),
            (wrapped(&deep), "is deeper than 64 elements"),
            (many, "names more than 1024 files or disks"),
            (disk("x", "byte"), "says \"x\" for the capacity of a disk: no number"),
            (disk("-1", "byte"), "says \"-1\" for the capacity"),
            (disk("1", "parsec"), "counts the capacity of a disk in \"parsec\""),
            (disk("1", "byte * 2^64"), "counts the capacity of a disk in \"byte * 2^64\""),
            (disk("17179869184", "byte * 2^30"), "more than 2^64 bytes"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged);
            assert!(error.to_string().contains(why), "{error} instead of {why}");
        }
        assert!(parse(b"<Envelope>\xff</Envelope>").is_err());
    }
}
