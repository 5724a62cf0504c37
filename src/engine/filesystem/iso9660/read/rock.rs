//! System use entries: what Rock Ridge says about a record.
//!
//! Follows continuation areas, each checked against the medium. Invariant: at most `MOST` areas belong
//! to one record, so a loop of them ends.

use zerocopy::FromBytes as _;

use super::super::ondisk::{
    Both32, CONTINUE, CURRENT, Continuation, Date7, Date17, DeviceNumbers, ENTRY, Entry, PARENT,
    Posix, ROOT, SECTOR, SP, TF_CREATION, TF_LONG, TF_MODIFY, Volume,
};
use super::directory::{Found, Records};
use crate::engine::base::tree::{Device, Time};
use crate::engine::base::{Error, Kind, SectorSource};

/// Continuation areas of one record.
const MOST: usize = 64;

/// Bytes of one area: more than a sector is in no image that is known.
const AREA: u32 = 32 << 10;

/// Bytes of a name or a link's text.
const TEXT: usize = 64 << 10;

/// What the entries of one record say.
#[derive(Clone, Debug, Default)]
pub(super) struct Rock {
    pub(super) posix: Option<Posix>,
    /// Whether `posix` has a serial number.
    pub(super) serial: bool,
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) device: Option<Device>,
    pub(super) modified: Option<Time>,
    /// The sector of a directory that was put elsewhere.
    pub(super) child: Option<u32>,
    /// Whether it belongs elsewhere.
    pub(super) relocated: bool,
    /// Whether an entry names the extension.
    extension: bool,
    /// Whether the link's text goes on, and whether its last component does.
    link_open: bool,
    component_open: bool,
}

/// Bytes before the entries of every record, if the image has Rock Ridge: SUSP 5.3.
pub(super) fn prefix(medium: &dyn SectorSource, volume: &Volume) -> Result<Option<usize>, Error> {
    let sector = u64::from(volume.root.extent.get());
    let first = Records::new(medium, sector, volume.root.data_len.get())?.next().transpose()?;
    let Some(dot) = first else { return Ok(None) };
    // CD-ROM XA has 14 bytes of its own before.
    for own in [0, 14] {
        let entry = dot.system.get(own..).unwrap_or_default();
        if entry.starts_with(b"SP\x07\x01") && entry.get(4..6) == Some(&SP[..2]) {
            let skip = entry.get(6).copied().unwrap_or_default();
            let rock = Rock::of(medium, &dot, own)?;
            let known = rock.extension || rock.posix.is_some();
            return Ok(known.then_some(usize::from(skip)));
        }
    }
    Ok(None)
}

impl Rock {
    /// What the record's entries say, which begin behind `prefix` bytes.
    pub(super) fn of(
        medium: &dyn SectorSource,
        found: &Found,
        prefix: usize,
    ) -> Result<Self, Error> {
        let mut rock = Self::default();
        let mut area = found.system.get(prefix..).unwrap_or_default().to_vec();
        for _ in 0..MOST {
            let next = rock.area(&area).map_err(|why| {
                let message = format!("the record at offset {}: {why}", found.offset);
                Error::new(Kind::Damaged, message)
            })?;
            let Some(next) = next else { return Ok(rock) };
            area = continuation(medium, next)?;
        }
        let message = format!(
            "the record at offset {} has more than {MOST} continuation areas",
            found.offset
        );
        Err(Error::new(Kind::Damaged, message))
    }

    /// Takes the entries of one area; the next area.
    fn area(&mut self, area: &[u8]) -> Result<Option<Continuation>, &'static str> {
        let mut rest = area;
        let mut next = None;
        // Less than an entry is padding.
        while let Ok((head, _)) = Entry::read_from_prefix(rest) {
            let len = usize::from(head.len);
            if head.signature[0] == 0 {
                break;
            }
            let data = rest.get(ENTRY..len).ok_or("a system use entry is longer than its area")?;
            match &head.signature {
                b"CE" => {
                    let area = Continuation::read_from_prefix(data).map_err(|_| "a short CE")?;
                    next = Some(area.0);
                }
                b"ST" => return Ok(None),
                signature => self.entry(*signature, data)?,
            }
            rest = rest.get(len..).unwrap_or_default();
        }
        Ok(next)
    }

    fn entry(&mut self, signature: [u8; 2], data: &[u8]) -> Result<(), &'static str> {
        match &signature {
            b"PX" => self.px(data)?,
            b"PN" => {
                let (numbers, _) =
                    DeviceNumbers::read_from_prefix(data).map_err(|_| "a short PN")?;
                self.device = Some(device(numbers.high.get(), numbers.low.get()));
            }
            b"NM" => self.nm(data)?,
            b"SL" => self.sl(data)?,
            b"TF" => self.tf(data)?,
            b"CL" => {
                let (sector, _) = Both32::read_from_prefix(data).map_err(|_| "a short CL")?;
                self.child = Some(sector.get());
            }
            b"RE" => self.relocated = true,
            b"ER" => self.extension = true,
            b"ZF" => return Err("the file is compressed (zisofs), which is not supported"),
            _ => {}
        }
        Ok(())
    }

    fn px(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let full = size_of::<Posix>();
        let mut bytes = data.to_vec();
        self.serial = bytes.len() >= full;
        if bytes.len() < full - size_of::<Both32>() {
            return Err("a short PX");
        }
        bytes.resize(full, 0);
        self.posix = Posix::read_from_bytes(&bytes).ok();
        Ok(())
    }

    fn nm(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let (flags, text) = data.split_first().ok_or("a short NM")?;
        // `.` and `..` are told by flags.
        if flags & (CURRENT | PARENT) != 0 {
            return Ok(());
        }
        let name = self.name.get_or_insert_default();
        name.extend(text);
        if name.len() > TEXT { Err("a name of more than 64 KiB") } else { Ok(()) }
    }

    /// RRIP 4.1.3, as Linux reads it: a slash between components but behind the root.
    fn sl(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let (flags, mut rest) = data.split_first().ok_or("a short SL")?;
        if self.link.is_some() && !self.link_open {
            return Ok(());
        }
        let mut slash = self.link.is_some() && !self.component_open && !self.ends_with_root();
        let text = self.link.get_or_insert_default();
        while let [kind, len, behind @ ..] = rest {
            let part = behind.get(..usize::from(*len)).ok_or("a component longer than its SL")?;
            if slash {
                text.push(b'/');
            }
            match kind & !CONTINUE {
                0 => text.extend(part),
                CURRENT => text.push(b'.'),
                PARENT => text.extend(b".."),
                ROOT => text.push(b'/'),
                _ => return Err("a component of an unknown kind in SL"),
            }
            slash = kind & CONTINUE == 0 && kind & ROOT == 0;
            self.component_open = kind & CONTINUE != 0;
            rest = behind.get(usize::from(*len)..).unwrap_or_default();
        }
        self.link_open = flags & CONTINUE != 0;
        if text.len() > TEXT { Err("a link of more than 64 KiB") } else { Ok(()) }
    }

    fn ends_with_root(&self) -> bool {
        self.link.as_deref() == Some(b"/")
    }

    fn tf(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let (flags, times) = data.split_first().ok_or("a short TF")?;
        if flags & TF_MODIFY == 0 {
            return Ok(());
        }
        // Before it lies the time of creation, if there is one.
        let before = usize::from(flags & TF_CREATION != 0);
        let long = flags & TF_LONG != 0;
        let size = if long { size_of::<Date17>() } else { size_of::<Date7>() };
        let date = times.get(before * size..).unwrap_or_default();
        self.modified = if long {
            Some(Date17::read_from_prefix(date).map_err(|_| "a short TF")?.0.time())
        } else {
            Some(Date7::read_from_prefix(date).map_err(|_| "a short TF")?.0.time())
        };
        Ok(())
    }
}

/// RRIP 4.1.2, as Linux reads it: some writers have both numbers in the low word.
const fn device(high: u32, low: u32) -> Device {
    if high == 0 && low & !0xff != 0 {
        return Device { major: low >> 8, minor: low & 0xff };
    }
    Device { major: high, minor: low }
}

fn continuation(medium: &dyn SectorSource, area: Continuation) -> Result<Vec<u8>, Error> {
    let at = u64::from(area.block.get()) * SECTOR + u64::from(area.offset.get());
    let len = area.len.get();
    if len > AREA || at + u64::from(len) > medium.len() {
        let message = format!(
            "a continuation area of {len} bytes at offset {at}; at most {AREA} are allowed, and the \
             medium has {}",
            medium.len()
        );
        return Err(Error::new(Kind::Damaged, message));
    }
    let mut bytes = vec![0; len as usize];
    medium.read_at(at, &mut bytes)?;
    Ok(bytes)
}
