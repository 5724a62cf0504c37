//! Gives partitions their places on a disk.
//!
//! Pure. Invariants: partitions are in order, aligned, and do not touch a table; what does not fit
//! is refused with the numbers; the same wishes give the same places.

use crate::engine::base::{Error, Extent, Kind, Origin};

/// Which table, with what it takes of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A master boot record: 4 primary partitions, or 3 and logical ones.
    Mbr,
    /// The table of UEFI: 128 partitions.
    Gpt,
}

/// What a table lies on.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// Which table.
    pub scheme: Scheme,
    /// Bytes of a sector: 512 or 4096.
    pub sector: u64,
    /// Partitions begin at multiples of this, a multiple of the sector.
    pub align: u64,
    /// Bytes of the disk; none means as many as are needed.
    pub len: Option<u64>,
}

/// A partition that wants a place.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The field that it came from.
    pub origin: Origin,
    /// Bytes it has at least.
    pub size: u64,
    /// Whether it takes what is left of the disk.
    pub grow: bool,
    /// Whether it is a logical partition of a master boot record. Where no wish is, and there are
    /// more than four, the fourth and all behind it are.
    pub logical: bool,
}

/// A partition with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, as Linux counts: logical ones begin with 5.
    pub number: u32,
    /// Where it lies, in bytes.
    pub extent: Extent,
    /// Where the record of a logical partition lies.
    pub record: Option<u64>,
}

/// All places, and the bytes of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arranged {
    /// In the order of the wishes.
    pub places: Vec<Place>,
    /// Bytes of the disk.
    pub len: u64,
}

/// Entries of a GPT: 128 of 128 bytes (UEFI Specification 2.10, 5.3: at least 16 KiB).
pub(super) const GPT_ENTRIES: u32 = 128;
/// Bytes of a GPT's entries.
pub(super) const GPT_TABLE: u64 = 16 << 10;
/// Entries of a master boot record.
const PRIMARY: usize = 4;
/// Logical partitions that Linux numbers without trouble.
const MOST_MBR: usize = 60;

impl Ground {
    /// Bytes before the first partition may begin.
    fn head(&self) -> u64 {
        match self.scheme {
            Scheme::Mbr => self.sector,
            Scheme::Gpt => 2 * self.sector + GPT_TABLE,
        }
    }

    /// Bytes behind the last partition.
    fn tail(&self) -> u64 {
        match self.scheme {
            Scheme::Mbr => 0,
            Scheme::Gpt => GPT_TABLE + self.sector,
        }
    }

    /// What an address in sectors can reach: an entry of a master boot record has 32 bits.
    fn reach(&self) -> u64 {
        match self.scheme {
            Scheme::Mbr => u64::from(u32::MAX) * self.sector,
            Scheme::Gpt => u64::MAX >> 1,
        }
    }
}

/// Gives every wish its place.
pub fn arrange(ground: &Ground, wishes: &[Wish]) -> Result<Arranged, Error> {
    judge(ground, wishes)?;
    let least = pack(ground, wishes, None)?;
    let len = match ground.len {
        None => least.len,
        Some(len) if len >= least.len => len,
        Some(len) => {
            let message = format!(
                "the disk has {len} bytes; its partitions need {} with their table",
                least.len
            );
            return Err(Error::new(Kind::Document, message));
        }
    };
    let Some(grows) = wishes.iter().position(|wish| wish.grow) else {
        return Ok(Arranged { len, ..least });
    };
    // What is left, down to whole units, goes to the one that grows; later ones move. Then it takes
    // what is between it and the next one, or the table at the end, too.
    let more = (len - least.len) / ground.align * ground.align;
    let arranged = pack(ground, wishes, Some((grows, more)))?;
    let end = arranged.places.get(grows).map_or(0, |place| place.extent.end());
    let next = arranged.places.get(grows + 1);
    let stop = next.map(|next| next.record.unwrap_or(next.extent.start()));
    let more = more + stop.unwrap_or(len - ground.tail()).saturating_sub(end);
    let arranged = pack(ground, wishes, Some((grows, more)))?;
    Ok(Arranged { len, ..arranged })
}

/// Index of the first logical partition, where `logical` says which ones are to be.
#[must_use]
pub fn first_logical(scheme: Scheme, logical: &[bool]) -> usize {
    let chosen = logical.iter().position(|logical| *logical);
    match scheme {
        Scheme::Gpt => logical.len(),
        Scheme::Mbr if logical.len() > PRIMARY => chosen.unwrap_or(PRIMARY - 1),
        Scheme::Mbr => chosen.unwrap_or(logical.len()),
    }
}

/// The number of the partition at `index`, as Linux counts, where the logical ones begin at `first`.
#[must_use]
pub fn number(index: usize, first: usize) -> u32 {
    let number = if index < first { index + 1 } else { index - first + PRIMARY + 1 };
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Logical partitions lie in one extended partition, which is a primary one.
fn judge_logical(ground: &Ground, wishes: &[Wish], first: usize) -> Result<(), Error> {
    let refused = |at: usize, message: String| {
        let origin = wishes.get(at).map(|wish| wish.origin.clone());
        let error = Error::new(Kind::Document, message);
        Err(match origin {
            Some(origin) => error.at(&origin),
            None => error,
        })
    };
    if ground.scheme == Scheme::Gpt {
        return match wishes.iter().position(|wish| wish.logical) {
            Some(at) => refused(at, "a GPT has no logical partitions".to_owned()),
            None => Ok(()),
        };
    }
    let chosen = wishes.iter().any(|wish| wish.logical);
    if let Some(at) = wishes.iter().skip(first).position(|wish| chosen && !wish.logical) {
        let message = "a primary partition behind a logical one: logical ones come last";
        return refused(first + at, message.to_owned());
    }
    if first >= PRIMARY && first < wishes.len() {
        let message = format!("logical partitions beside {first} primary ones; at most 3 fit");
        return refused(first, message);
    }
    Ok(())
}

fn judge(ground: &Ground, wishes: &[Wish]) -> Result<(), Error> {
    let refused = |message: String| Err(Error::new(Kind::Document, message));
    let Ground { sector, align, .. } = *ground;
    if !align.is_multiple_of(sector) || align == 0 {
        return refused(format!("an alignment of {align} bytes is not whole sectors of {sector}"));
    }
    if let Some(len) = ground.len.filter(|len| !len.is_multiple_of(sector)) {
        return refused(format!("{len} bytes are not whole sectors of {sector} bytes"));
    }
    let most = match ground.scheme {
        Scheme::Mbr => MOST_MBR,
        Scheme::Gpt => GPT_ENTRIES as usize,
    };
    if wishes.len() > most {
        return refused(format!("{} partitions; this table holds at most {most}", wishes.len()));
    }
    let mut growing = wishes.iter().filter(|wish| wish.grow);
    if let (Some(first), Some(second)) = (growing.next(), growing.next()) {
        let message = format!("{} takes the rest of the disk already", first.origin);
        return Err(Error::new(Kind::Document, message).at(&second.origin));
    }
    match wishes.iter().find(|wish| wish.size == 0) {
        Some(wish) => Err(Error::new(Kind::Document, "a partition of 0 bytes").at(&wish.origin)),
        None => Ok(()),
    }
}

/// Places one partition behind the other; the one named in `more` is so much longer.
fn pack(ground: &Ground, wishes: &[Wish], more: Option<(usize, u64)>) -> Result<Arranged, Error> {
    let logical: Vec<bool> = wishes.iter().map(|wish| wish.logical).collect();
    let first = first_logical(ground.scheme, &logical);
    judge_logical(ground, wishes, first)?;
    let overflow = || Error::new(Kind::Document, "partitions end beyond 64 bits");
    let up = |at: u64, unit: u64| at.checked_next_multiple_of(unit).ok_or_else(overflow);
    let (mut places, mut end) = (Vec::with_capacity(wishes.len()), ground.head());
    for (index, wish) in wishes.iter().enumerate() {
        let logical = index >= first;
        // A logical partition's record stands in a unit of its own before it, so that the
        // partition itself is aligned.
        let record = if logical { Some(up(end, ground.align)?) } else { None };
        let start = match record {
            Some(record) => record.checked_add(ground.align).ok_or_else(overflow)?,
            None => up(end, ground.align)?,
        };
        let extra = more.filter(|(grows, _)| *grows == index).map_or(0, |(_, extra)| extra);
        let size = up(wish.size, ground.sector)?.checked_add(extra).ok_or_else(overflow)?;
        end = start.checked_add(size).ok_or_else(overflow)?;
        if end > ground.reach() {
            let message = format!(
                "the partition ends at {end}; a table of this kind with sectors of {} bytes \
                 reaches {}",
                ground.sector,
                ground.reach()
            );
            return Err(Error::new(Kind::Document, message).at(&wish.origin));
        }
        let number = number(index, first);
        let extent = Extent::new(start, end).ok_or_else(overflow)?;
        places.push(Place { number, extent, record });
    }
    let len = end.checked_add(ground.tail()).ok_or_else(overflow)?;
    Ok(Arranged { places, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn ground(scheme: Scheme, len: Option<u64>) -> Ground {
        Ground { scheme, sector: 512, align: MIB, len }
    }

    fn wish(size: u64) -> Wish {
        Wish { origin: Origin::new(&format!("of {size}")), size, grow: false, logical: false }
    }

    fn spans(arranged: &Arranged) -> Vec<(u32, u64, u64)> {
        let span = |p: &Place| (p.number, p.extent.start(), p.extent.end());
        arranged.places.iter().map(span).collect()
    }

    #[test]
    fn partitions_are_packed_and_aligned() {
        let wishes = [wish(MIB + 1), wish(512)];
        let mbr = arrange(&ground(Scheme::Mbr, None), &wishes).unwrap();
        assert_eq!(spans(&mbr), [(1, MIB, 2 * MIB + 512), (2, 3 * MIB, 3 * MIB + 512)]);
        assert_eq!(mbr.len, 3 * MIB + 512);
        let gpt = arrange(&ground(Scheme::Gpt, None), &wishes).unwrap();
        assert_eq!(spans(&gpt), spans(&mbr));
        assert_eq!(gpt.len, 3 * MIB + 512 + 33 * 512);
    }

    #[test]
    fn one_grows_and_the_next_ones_move() {
        let mut wishes = vec![wish(MIB), wish(MIB), wish(MIB)];
        wishes[1].grow = true;
        let gpt = arrange(&ground(Scheme::Gpt, Some(10 * MIB)), &wishes).unwrap();
        // 10 MiB - 33 sectors: the third ends in the last whole unit before them.
        let wanted = [(1, MIB, 2 * MIB), (2, 2 * MIB, 8 * MIB), (3, 8 * MIB, 9 * MIB)];
        assert_eq!((spans(&gpt), gpt.len), (wanted.to_vec(), 10 * MIB));
        // Odd sizes: it ends where the next one begins, or where the table at the end does.
        wishes[1].size = MIB - 512;
        assert_eq!(spans(&arrange(&ground(Scheme::Gpt, Some(10 * MIB)), &wishes).unwrap()), wanted);
        wishes.pop();
        let gpt = arrange(&ground(Scheme::Gpt, Some(10 * MIB)), &wishes).unwrap();
        assert_eq!(spans(&gpt), [wanted[0], (2, 2 * MIB, 10 * MIB - 33 * 512)]);
        wishes.push(Wish { grow: true, ..wish(MIB) });
        let error = arrange(&ground(Scheme::Gpt, None), &wishes).unwrap_err();
        assert!(error.to_string().contains("takes the rest of the disk already"), "{error}");
    }

    #[test]
    fn more_than_four_become_logical() {
        let wishes: Vec<_> = (0..6).map(|_| wish(MIB)).collect();
        let mbr = arrange(&ground(Scheme::Mbr, None), &wishes).unwrap();
        let numbers: Vec<_> = mbr.places.iter().map(|p| (p.number, p.record)).collect();
        let wanted = [
            (1, None),
            (2, None),
            (3, None),
            (5, Some(4 * MIB)),
            (6, Some(6 * MIB)),
            (7, Some(8 * MIB)),
        ];
        assert_eq!(numbers, wanted);
    }

    #[test]
    fn logical_partitions_can_be_chosen() {
        let wishes = |logical: &[bool]| -> Vec<_> {
            logical.iter().map(|logical| Wish { logical: *logical, ..wish(MIB) }).collect()
        };
        let numbers = |logical: &[bool]| -> Vec<_> {
            let mbr = arrange(&ground(Scheme::Mbr, None), &wishes(logical)).unwrap();
            mbr.places.iter().map(|place| place.number).collect()
        };
        assert_eq!(numbers(&[false, true, true]), [1, 5, 6]);
        assert_eq!(numbers(&[true]), [5]);
        let refused = |scheme, logical: &[bool]| {
            arrange(&ground(scheme, None), &wishes(logical)).unwrap_err().to_string()
        };
        assert!(refused(Scheme::Mbr, &[true, false]).contains("logical ones come last"));
        let five = [false, false, false, false, true];
        assert!(refused(Scheme::Mbr, &five).contains("at most 3 fit"));
        assert!(refused(Scheme::Gpt, &[true]).contains("no logical partitions"));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_numbers() {
        let says = |ground: Ground, wishes: &[Wish], text: &str| {
            let error = arrange(&ground, wishes).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        };
        let gpt = |len| ground(Scheme::Gpt, Some(len));
        let exact = 2 * MIB + 33 * 512;
        assert!(arrange(&gpt(exact), &[wish(MIB)]).is_ok());
        says(gpt(exact - 512), &[wish(MIB)], "need 2114048");
        says(gpt(exact - 1), &[wish(MIB)], "not whole sectors");
        says(ground(Scheme::Mbr, None), &[wish(2 << 40)], "reaches 2199023255040");
        says(ground(Scheme::Mbr, None), &[wish(u64::MAX - MIB)], "64 bits");
        says(ground(Scheme::Gpt, None), &vec![wish(1); 129], "at most 128");
        says(ground(Scheme::Gpt, None), &[wish(0)], "0 bytes");
        says(Ground { align: 700, ..gpt(exact) }, &[wish(1)], "alignment of 700");
    }
}
