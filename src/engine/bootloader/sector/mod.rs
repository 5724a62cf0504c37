//! BIOS boot sectors: our own program with a message, or given bytes.
//!
//! Does not read files. Invariant: what is returned is 512 bytes with 55 AA at 510, and our own
//! program leaves bytes 440 to 509 zero, where partition tools look for a disk signature and a
//! table.

mod program;

use crate::engine::base::{Error, Kind};

/// Bytes in a boot sector.
const LEN: usize = 512;

/// What a BIOS wants at bytes 510 and 511 before it runs a sector.
const SIGNATURE: [u8; 2] = [0x55, 0xAA];

/// Where the signature lies.
const SIGNATURE_AT: usize = LEN - SIGNATURE.len();

/// Where a master boot record's disk signature and partition table begin. A program that went on
/// there would show as partitions of nonsense.
const TABLE_AT: usize = 440;

/// What lies before a sector's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Nothing.
    Bare,
    /// The parameters of a FAT12 or FAT16 volume.
    Fat,
    /// The parameters of a FAT32 volume.
    Fat32,
}

impl Front {
    const ALL: [Self; 3] = [Self::Bare, Self::Fat, Self::Fat32];

    /// Where the code begins (FAT 1.03, "Boot Sector and BPB").
    const fn code_at(self) -> u8 {
        match self {
            Self::Bare => 0,
            Self::Fat => 62,
            Self::Fat32 => 90,
        }
    }

    /// The sector up to the message. The parameters are zeros behind a jump over them.
    fn program(self) -> Vec<u8> {
        let at = self.code_at();
        let mut sector = match self {
            Self::Bare => Vec::new(),
            // jmp short; nop
            Self::Fat | Self::Fat32 => vec![0xEB, at - 2, 0x90],
        };
        sector.resize(usize::from(at), 0);
        sector.extend(program::code(at));
        sector
    }
}

/// Our own program with `message`: exactly 512 bytes, in which the parameters are zero.
pub fn assemble(message: &str, front: Front) -> Result<Vec<u8>, Error> {
    refuse_unprintable(message)?;
    let mut sector = front.program();
    let room = TABLE_AT.saturating_sub(sector.len() + 1);
    if let Some(over) = message.len().checked_sub(room).filter(|over| *over > 0) {
        let place = match front {
            Front::Bare => "a boot sector",
            Front::Fat => "the boot sector of a FAT12 or FAT16 volume",
            Front::Fat32 => "the boot sector of a FAT32 volume",
        };
        let text = format!(
            "the message is {over} bytes too long: it has {} bytes, {place} has room for {room}",
            message.len()
        );
        return Err(Error::new(Kind::Document, text));
    }
    sector.extend(message.as_bytes());
    Ok(complete(sector))
}

/// The message of a sector that `assemble` made; none of any other.
#[must_use]
pub fn message(sector: &[u8]) -> Option<String> {
    let rest = Front::ALL.iter().find_map(|front| {
        let program = front.program();
        let at = usize::from(front.code_at());
        let code = sector.get(at..TABLE_AT)?;
        code.strip_prefix(program.get(at..)?)
    })?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
}

/// A given sector as the code of a FAT volume, whose parameters replace what it has in their place.
pub fn take_on_fat(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let sector = take(bytes)?;
    match sector.first() {
        Some(0xEB | 0xE9) => Ok(sector),
        first => {
            let found = first.copied().unwrap_or_default();
            let text = format!(
                "the boot sector of a FAT volume begins with a jump over the volume's parameters \
                 (EB or E9), this one with {found:02X}"
            );
            Err(Error::new(Kind::Input, text))
        }
    }
}

/// A given sector: at most 512 bytes that end with 55 AA, taken byte for byte. One that is shorter
/// than 512 is filled up with zeros and gets a second 55 AA at 510, where a BIOS looks for it.
pub fn take(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let refuse = |message| Err(Error::new(Kind::Input, message));
    if bytes.len() > LEN {
        return refuse(format!("a boot sector is at most {LEN} bytes, not {}", bytes.len()));
    }
    let Some((_, end)) = bytes.split_last_chunk::<2>() else {
        return refuse(format!(
            "a boot sector ends with 55 AA, this one has {}",
            match bytes {
                [] => "no bytes".to_owned(),
                _ => format!("only {} byte", bytes.len()),
            }
        ));
    };
    if *end != SIGNATURE {
        return refuse(format!(
            "a boot sector ends with 55 AA, this one of {} bytes ends with {:02X} {:02X}",
            bytes.len(),
            end[0],
            end[1]
        ));
    }
    if bytes.len() == LEN - 1 {
        return refuse(format!(
            "{} bytes cannot be booted: their 55 AA lies one byte before the place where a BIOS \
             looks for it, and overlaps it; give {LEN} bytes, or at most {SIGNATURE_AT}",
            bytes.len()
        ));
    }
    Ok(complete(bytes.to_vec()))
}

/// Fills `sector` up with zeros and puts the signature at its end.
fn complete(mut sector: Vec<u8>) -> Vec<u8> {
    sector.resize(LEN, 0);
    sector[SIGNATURE_AT..].copy_from_slice(&SIGNATURE);
    sector
}

/// The program shows bytes as code page 437, which is ASCII only from space to tilde.
fn refuse_unprintable(message: &str) -> Result<(), Error> {
    if message.is_empty() {
        let text = "the message is empty; give at least one character";
        return Err(Error::new(Kind::Document, text));
    }
    let printable = |c: char| matches!(c, ' '..='~' | '\n');
    if let Some((at, c)) = message.chars().enumerate().find(|(_, c)| !printable(*c)) {
        let text = format!(
            "character {} of the message is {c:?} (U+{:04X}); a boot sector can show printable \
             ASCII and line breaks",
            at + 1,
            u32::from(c)
        );
        return Err(Error::new(Kind::Document, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Read in the disassembly, tests/golden/sector-hello.txt: the message begins at 7CADh, so the
    /// code has 173 bytes; 440 - 173 are left, one of them for the zero byte.
    const ROOM: usize = 266;

    fn refused(bytes: &[u8]) -> String {
        let error = take(bytes).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        error.to_string()
    }

    #[test]
    fn a_sector_holds_the_message_and_no_partition_table() {
        let sector = assemble("Hello World!", Front::Bare).unwrap();
        assert_eq!(sector.len(), 512);
        assert_eq!(sector[510..], [0x55, 0xAA]);
        assert_eq!(sector[440..510], [0; 70]);
        assert_eq!(sector.windows(13).filter(|w| *w == b"Hello World!\0").count(), 1);
    }

    #[test]
    fn the_longest_message_fits_and_one_more_byte_is_counted() {
        let longest = "x".repeat(ROOM);
        let sector = assemble(&longest, Front::Bare).unwrap();
        assert_eq!(sector[438..441], *b"x\0\0");
        let error = assemble(&format!("{longest}12345"), Front::Bare).unwrap_err();
        assert_eq!(error.kind(), Kind::Document);
        let says = format!(
            "the message is 5 bytes too long: it has {} bytes, a boot sector has room for {ROOM}",
            ROOM + 5
        );
        assert_eq!(error.to_string(), says);
    }

    #[test]
    fn a_fat_volume_leaves_room_for_its_parameters_and_less_message() {
        for (front, at, place) in [(Front::Fat, 62, "FAT12 or FAT16"), (Front::Fat32, 90, "FAT32")]
        {
            let longest = "x".repeat(ROOM - at);
            let sector = assemble(&longest, front).unwrap();
            assert_eq!(sector[..3], [0xEB, at as u8 - 2, 0x90]);
            assert_eq!(sector[3..at], vec![0; at - 3]);
            assert_eq!(sector[438..441], *b"x\0\0");
            assert_eq!(message(&sector).as_deref(), Some(longest.as_str()));
            let error = assemble(&format!("{longest}12"), front).unwrap_err().to_string();
            let (has, room) = (ROOM - at + 2, ROOM - at);
            let says = format!(
                "the message is 2 bytes too long: it has {has} bytes, the boot sector of a {place} volume has room for {room}"
            );
            assert_eq!(error, says);
        }
        assert!(take_on_fat(&[0xEB, 0x3C, 0x90, 0x55, 0xAA]).is_ok());
        let error = take_on_fat(&[0xFA, 0x55, 0xAA]).unwrap_err().to_string();
        assert!(error.ends_with("(EB or E9), this one with FA"), "{error}");
    }

    #[test]
    fn what_a_screen_cannot_show_is_named_with_its_position() {
        let refused = |message| assemble(message, Front::Bare).unwrap_err().to_string();
        assert!(refused("").starts_with("the message is empty"));
        for (message, says) in [
            ("Grüß", "character 3 of the message is 'ü' (U+00FC);"),
            ("a\tb", "character 2 of the message is '\\t' (U+0009);"),
            ("ab\r\n", "character 3 of the message is '\\r' (U+000D);"),
            ("\u{0}", "character 1 of the message is '\\0' (U+0000);"),
            ("é\u{7f}", "character 1 of the message is 'é' (U+00E9);"),
            ("x\u{7f}", "character 2 of the message is '\\u{7f}' (U+007F);"),
        ] {
            assert!(refused(message).starts_with(says), "{}", refused(message));
        }
        assert!(assemble(" ~\n", Front::Bare).is_ok());
    }

    #[test]
    fn a_whole_given_sector_is_taken_byte_for_byte() {
        let mut given: Vec<u8> = (0..=255).cycle().take(512).collect();
        given[510..].copy_from_slice(&[0x55, 0xAA]);
        assert_eq!(take(&given).unwrap(), given);
    }

    #[test]
    fn a_short_given_sector_keeps_its_bytes_and_becomes_bootable() {
        let sector = take(&[0xF4, 0x55, 0xAA]).unwrap();
        assert_eq!(sector[..3], [0xF4, 0x55, 0xAA]);
        assert_eq!(sector[3..510], [0; 507]);
        assert_eq!(sector[510..], [0x55, 0xAA]);
        let mut longest = vec![7; 510];
        longest[508..].copy_from_slice(&[0x55, 0xAA]);
        assert_eq!(take(&longest).unwrap()[..510], longest);
    }

    #[test]
    fn a_given_sector_without_signature_is_refused_with_what_was_found() {
        assert_eq!(refused(&[]), "a boot sector ends with 55 AA, this one has no bytes");
        assert_eq!(refused(&[0x55]), "a boot sector ends with 55 AA, this one has only 1 byte");
        assert_eq!(
            refused(&[0, 0xAA, 0x55]),
            "a boot sector ends with 55 AA, this one of 3 bytes ends with AA 55"
        );
        assert_eq!(refused(&[0; 513]), "a boot sector is at most 512 bytes, not 513");
        let mut between = vec![0; 511];
        between[509..].copy_from_slice(&[0x55, 0xAA]);
        assert!(refused(&between).starts_with("511 bytes cannot be booted"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_and_what_is_taken_begins_with_them(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..520),
            signed: bool,
        ) {
            if signed {
                bytes.extend(SIGNATURE);
            }
            if let Ok(sector) = take(&bytes) {
                prop_assert_eq!(&sector[..bytes.len()], &bytes[..]);
                prop_assert_eq!(&sector[510..], SIGNATURE);
            }
        }
    }
}
