//! Lists and opens untrusted packages.
//!
//! Opens no file by a name in the package. Invariants: a file is found in the archive or refused;
//! where there is a manifest, a disk is handed out only once its digest is right.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::descriptor::{self, Descriptor, File, VirtualDisk};
use super::manifest::{self, Claim};
use crate::engine::archive::tar::{Archive, Member};
use crate::engine::base::{ByteSource, Error, Kind, SectorSource, SourceReader, Spool, Work};
use crate::engine::codec::wrap::{Wrap, unpack, unwrap};
use crate::engine::format::FormatName;

/// The longest `metadata.json` that is read.
const MOST_METADATA: u64 = 64 << 10;

/// A kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageKind {
    /// A tar with an OVF descriptor.
    Ova,
    /// A Vagrant box: a tar with `metadata.json`, mostly in gzip.
    Box,
}

/// A file in a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}

/// A disk that a package describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The name of its file in the package.
    pub file: String,
    /// The format of that file, where it is one that is known.
    pub format: Option<FormatName>,
    /// How many bytes the package says that it has.
    pub capacity: Option<u64>,
}

/// An open package.
#[derive(Debug)]
pub struct Package {
    archive: Archive,
    entries: Vec<Entry>,
    disks: Vec<Disk>,
    manifest: Option<Vec<Claim>>,
    details: Map<String, Value>,
}

fn damaged(message: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, message)
}

impl Package {
    /// Judges an untrusted file. What is compressed around it is unpacked into a temporary file in
    /// `scratch`, at most `limit` bytes.
    pub fn open(
        source: Arc<dyn SectorSource>,
        kind: PackageKind,
        scratch: &Path,
        limit: u64,
        work: &Work<'_>,
    ) -> Result<Self, Error> {
        let source = match kind {
            PackageKind::Ova => source,
            PackageKind::Box => unwrapped(source, scratch, limit, work)?,
        };
        let archive = Archive::open(source)?;
        let entry = |member: &Member| Entry { name: member.name.clone(), size: member.size };
        let entries = archive.members().iter().map(entry).collect();
        let empty = (Vec::new(), Map::new());
        let mut package =
            Self { archive, entries, disks: empty.0, manifest: None, details: empty.1 };
        match kind {
            PackageKind::Ova => package.open_ova(work)?,
            PackageKind::Box => package.open_box()?,
        }
        Ok(package)
    }

    /// The files in it.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The disks that it describes.
    #[must_use]
    pub fn disks(&self) -> &[Disk] {
        &self.disks
    }

    /// What its descriptor says. The names are lowerCamelCase and a contract with scripts.
    #[must_use]
    pub const fn details(&self) -> &Map<String, Value> {
        &self.details
    }

    /// The file of a disk, once its digest is what the manifest says, where there is one.
    pub fn disk(&self, disk: &Disk, work: &Work<'_>) -> Result<Arc<dyn SectorSource>, Error> {
        let member = self.archive.find(&disk.file).ok_or_else(|| missing(&disk.file))?;
        let body = self.archive.body(member);
        if let Some(claims) = &self.manifest {
            let claim = claims.iter().find(|claim| claim.name == disk.file);
            let claim = claim
                .ok_or_else(|| damaged(format!("the manifest does not name \"{}\"", disk.file)))?;
            work.progress.begin("checking the digest", body.len());
            claim.verify(&*body, work)?;
        }
        Ok(body)
    }

    fn open_ova(&mut self, work: &Work<'_>) -> Result<(), Error> {
        let ovf = self.only_ovf()?;
        let bytes = self.archive.read(&ovf, descriptor::MOST)?;
        let stem = ovf.name.strip_suffix(".ovf").unwrap_or(&ovf.name);
        if let Some(mf) = self.archive.find(&format!("{stem}.mf")).cloned() {
            let claims = manifest::parse(&self.archive.read(&mf, manifest::MOST)?)?;
            for claim in claims.iter().filter(|claim| claim.name != mf.name) {
                if self.archive.find(&claim.name).is_none() {
                    return Err(damaged(format!(
                        "the manifest names \"{}\", which is not in the package",
                        claim.name.escape_debug()
                    )));
                }
                if claim.name == ovf.name {
                    claim.verify(&ByteSource::new(bytes.as_slice()), work)?;
                }
            }
            self.manifest = Some(claims);
        }
        let described = descriptor::parse(&bytes)?;
        self.disks = self.described_disks(&described)?;
        self.details = details(&described);
        Ok(())
    }

    /// The descriptor: DSP0243 5.3 wants it first, and only one.
    fn only_ovf(&self) -> Result<Member, Error> {
        let is_ovf = |member: &&Member| member.name.ends_with(".ovf");
        let mut found = self.archive.members().iter().filter(is_ovf);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.clone()),
            (None, _) => Err(damaged("the package has no .ovf file")),
            (Some(one), Some(other)) => Err(damaged(format!(
                "the package has two .ovf files: \"{}\" and \"{}\"",
                one.name, other.name
            ))),
        }
    }

    /// The disks with a file, each in the archive.
    fn described_disks(&self, described: &Descriptor) -> Result<Vec<Disk>, Error> {
        let filled = described.disks.iter().filter(|disk| !disk.file_ref.is_empty());
        filled.map(|disk| self.described_disk(disk, &described.files)).collect()
    }

    fn described_disk(&self, disk: &VirtualDisk, files: &[File]) -> Result<Disk, Error> {
        let file = files.iter().find(|file| file.id == disk.file_ref).ok_or_else(|| {
            let (disk, file) = (disk.id.escape_debug(), disk.file_ref.escape_debug());
            damaged(format!(
                "the disk \"{disk}\" refers to the file \"{file}\", which is not described"
            ))
        })?;
        if file.packed {
            let href = file.href.escape_debug();
            let message = format!("the file \"{href}\" is compressed or cut in chunks");
            return Err(Error::new(Kind::Unsupported, message));
        }
        // The archive's names are plain, so a name that leads elsewhere is not among them.
        let member = self.archive.find(&file.href).ok_or_else(|| missing(&file.href))?;
        if let Some(size) = file.size.filter(|size| *size != member.size) {
            let (name, found) = (&member.name, member.size);
            return Err(damaged(format!(
                "\"{name}\" has {found} bytes; the descriptor says {size}"
            )));
        }
        let format = format_of(&disk.format, &file.href);
        Ok(Disk { file: member.name.clone(), format, capacity: disk.capacity })
    }

    fn open_box(&mut self) -> Result<(), Error> {
        let member = self.archive.find("metadata.json").ok_or_else(|| missing("metadata.json"))?;
        let bytes = self.archive.read(member, MOST_METADATA)?;
        let metadata: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|e| damaged(format!("metadata.json is no JSON object: {e}")))?;
        let word = |key: &str| metadata.get(key).and_then(Value::as_str);
        match word("provider") {
            Some("virtualbox" | "vmware_desktop") => {
                if let Ok(ovf) = self.only_ovf() {
                    let described = descriptor::parse(&self.archive.read(&ovf, descriptor::MOST)?)?;
                    self.disks = self.described_disks(&described)?;
                    self.details = details(&described);
                }
            }
            Some("libvirt" | "qemu") => self.disks = self.libvirt_disks(&metadata)?,
            _ => {}
        }
        self.details.insert("provider".to_owned(), json!(word("provider")));
        Ok(())
    }

    /// `box.img`, or the files that `disks` lists in newer boxes.
    fn libvirt_disks(&self, metadata: &Map<String, Value>) -> Result<Vec<Disk>, Error> {
        let said = |of: &Map<String, Value>, path: &str| -> Result<Disk, Error> {
            let member = self.archive.find(path).ok_or_else(|| missing(path))?;
            let format = of.get("format").and_then(Value::as_str).unwrap_or("qcow2");
            let gib = of.get("virtual_size").and_then(Value::as_u64);
            Ok(Disk {
                file: member.name.clone(),
                format: FormatName::of(format),
                capacity: gib.and_then(|gib| gib.checked_mul(1 << 30)),
            })
        };
        let Some(listed) = metadata.get("disks").and_then(Value::as_array) else {
            return Ok(vec![said(metadata, "box.img")?]);
        };
        let disks = listed.iter().filter_map(Value::as_object);
        disks
            .map(|disk| said(disk, disk.get("path").and_then(Value::as_str).unwrap_or("box.img")))
            .collect()
    }
}

fn missing(name: &str) -> Error {
    let name = name.escape_debug();
    damaged(format!("the package names \"{name}\", which is no file in it"))
}

/// What is compressed around a box, undone.
fn unwrapped(
    source: Arc<dyn SectorSource>,
    scratch: &Path,
    limit: u64,
    work: &Work<'_>,
) -> Result<Arc<dyn SectorSource>, Error> {
    let mut first = [0; Wrap::MAGIC];
    if source.len() < first.len() as u64 {
        return Err(damaged(format!("{} bytes are too short for a box", source.len())));
    }
    source.read_at(0, &mut first)?;
    let Some(wrap) = Wrap::detect(&first) else { return Ok(source) };
    let spool = Spool::create_in(scratch)?;
    work.progress.begin("unpacking", source.len());
    let mut inside = unwrap(wrap, Box::new(SourceReader::new(source)))?;
    unpack(&mut inside, &spool, limit, work.progress)?;
    Ok(Arc::new(spool))
}

/// The format that a descriptor's URI means, or the name of the file where it says nothing.
fn format_of(uri: &str, file: &str) -> Option<FormatName> {
    let uri = uri.to_ascii_lowercase();
    let known = [
        ("vmdk", FormatName::Vmdk),
        ("qcow", FormatName::Qcow2),
        ("vhdx", FormatName::Vhdx),
        ("vhd", FormatName::Vhd),
        ("linkid=137171", FormatName::Vhd),
        ("vdi", FormatName::Vdi),
    ];
    let by_uri = known.iter().find(|(word, _)| uri.contains(word)).map(|(_, format)| *format);
    by_uri.or_else(|| {
        let (_, suffix) = file.rsplit_once('.')?;
        FormatName::of(&suffix.to_ascii_lowercase())
    })
}

fn details(described: &Descriptor) -> Map<String, Value> {
    let Descriptor { name, system_type, os, cpus, memory, firmware, .. } = described;
    let all = [
        ("name", json!(name)),
        ("hardware", json!(system_type)),
        ("osId", json!(os)),
        ("cpus", json!(cpus)),
        ("memory", json!(memory)),
        ("firmware", json!(firmware)),
    ];
    let known = all.into_iter().filter(|(_, value)| !value.is_null());
    known.map(|(name, value)| (name.to_owned(), value)).collect()
}
