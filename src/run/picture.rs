//! A portable pixmap as a PNG.
//!
//! QEMU writes PNG itself since 7.1, if it was built so; a pixmap it always writes. The bytes follow
//! from the pixels alone. Invariant: a pixmap that is not whole is an error, never a picture.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::engine::base::{Error, Kind};

/// PNG (third edition), 5.2: the signature.
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// Colours of three bytes; 8 bits each; deflate; the five filters; not interlaced (11.2.1).
const KIND: [u8; 5] = [8, 2, 0, 0, 0];

/// The longest side that is taken: no screen is larger.
const LONGEST: usize = 1 << 14;

/// A picture as a binary portable pixmap (P6) of 8 bits a colour.
struct Pixmap<'a> {
    width: usize,
    height: usize,
    pixels: &'a [u8],
}

impl<'a> Pixmap<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (magic, rest) = word(bytes)?;
        let (width, rest) = number(rest)?;
        let (height, rest) = number(rest)?;
        let (most, rest) = number(rest)?;
        let sides = 1..=LONGEST;
        let fits = sides.contains(&width) && sides.contains(&height);
        let pixels = rest.get(..width.checked_mul(height)?.checked_mul(3)?)?;
        (magic == b"P6" && most == 255 && fits).then_some(Self { width, height, pixels })
    }
}

/// The next word, and what is behind the one blank after it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(u8::is_ascii_whitespace)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = word(bytes)?;
    Some((std::str::from_utf8(word).ok()?.parse().ok()?, rest))
}

/// The pixmap as a PNG.
pub(super) fn png(pixmap: &[u8]) -> Result<Vec<u8>, Error> {
    let wrong = || Error::new(Kind::Io, "QEMU's picture of the screen is no pixmap of 8 bits");
    let Pixmap { width, height, pixels } = Pixmap::parse(pixmap).ok_or_else(wrong)?;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::new(6));
    let context = |e| Error::io("packing the picture of the screen", e);
    for row in pixels.chunks(3 * width) {
        // Filter 0: none (9.2).
        packed.write_all(&[0]).and_then(|()| packed.write_all(row)).map_err(context)?;
    }
    let packed = packed.finish().map_err(context)?;
    let mut png = SIGNATURE.to_vec();
    let side = |side: usize| u32::try_from(side).map(u32::to_be_bytes).map_err(|_| wrong());
    let header = [&side(width)?[..], &side(height)?, &KIND].concat();
    for (name, data) in [(b"IHDR", &header[..]), (b"IDAT", &packed), (b"IEND", &[])] {
        let length = u32::try_from(data.len()).map_err(|_| wrong())?;
        png.extend(length.to_be_bytes());
        let body = [&name[..], data].concat();
        png.extend(&body);
        png.extend(crc32fast::hash(&body).to_be_bytes());
    }
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pixmaps_are_taken() {
        let good = b"P6\n2 1\n255\n\x01\x02\x03\x04\x05\x06";
        let made = png(good).unwrap();
        assert_eq!(made.get(..8), Some(&SIGNATURE[..]));
        assert_eq!(made.get(16..24), Some(&[0, 0, 0, 2, 0, 0, 0, 1][..]));
        for wrong in [
            &good[..good.len() - 1],
            b"",
            b"P5\n2 1\n255\n\x01\x02\x03\x04\x05\x06",
            b"P6\n0 1\n255\n",
            b"P6\n2 1\n65535\n\x01\x02\x03\x04\x05\x06",
            b"P6\n99999999999999 99999999999\n255\n",
        ] {
            assert!(png(wrong).is_err());
        }
    }
}
