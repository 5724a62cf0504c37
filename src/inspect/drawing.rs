//! A disk as one line of characters.
//!
//! Prints nothing. Invariant: a cell that holds a single byte other than zero is never drawn empty,
//! and one with a single zero sector never full.

/// A character and what it stands for: from how many thousandths on.
const BLOCKS: [(u16, char); 5] = [(0, '·'), (1, '░'), (334, '▒'), (667, '▓'), (1000, '█')];
const ASCII: [(u16, char); 5] = [(0, '.'), (1, '-'), (334, '+'), (667, '*'), (1000, '#')];

/// Counts bytes of data in equal parts of a disk.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Bytes of a cell: whole sectors.
    size: u64,
    len: u64,
    bytes: Vec<u64>,
}

impl Cells {
    /// At most `width` cells for a disk of `len` bytes.
    pub(super) fn new(len: u64, width: usize) -> Self {
        let sectors = len.div_ceil(512);
        let size = sectors.div_ceil(width.max(1) as u64).max(1) * 512;
        Self { size, len, bytes: vec![0; len.div_ceil(size) as usize] }
    }

    /// Adds one sector of data.
    pub(super) fn add(&mut self, at: u64, len: u64) {
        if let Some(cell) = self.bytes.get_mut((at / self.size.max(1)) as usize) {
            *cell += len;
        }
    }

    /// The thousandths of every cell that are not zero: at least 1 if there is data, and less than
    /// 1000 unless all is.
    pub(super) fn thousandths(&self) -> Vec<u16> {
        let cells = (0..).zip(&self.bytes);
        cells
            .map(|(index, bytes): (u64, _)| {
                let whole = self.size.min(self.len - index * self.size);
                let part = u128::from(*bytes) * 1000;
                match *bytes {
                    0 => 0,
                    bytes if bytes >= whole => 1000,
                    // OK to cast: less than 1000.
                    _ => part.div_ceil(u128::from(whole.max(1))).clamp(1, 999) as u16,
                }
            })
            .collect()
    }
}

/// The line, and what its characters mean.
pub(super) fn draw(cells: &[u16], unicode: bool) -> (String, String) {
    let scale = if unicode { BLOCKS } else { ASCII };
    let [zero, some, half, most, full] = scale.map(|(_, c)| c);
    let character = |cell: &u16| {
        scale.iter().rev().find(|(from, _)| cell >= from).map_or(zero, |(_, character)| *character)
    };
    let legend = format!(
        "{zero} zero  {some} to a third  {half} to two thirds  {most} more  {full} all data"
    );
    (cells.iter().map(character).collect(), legend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sector_is_seen_and_one_hole_too() {
        let mut cells = Cells::new(100 << 30, 4);
        assert_eq!(cells.bytes.len(), 4);
        cells.add(0, 512);
        for sector in 0..(25u64 << 30) / (1 << 20) {
            cells.add((25 << 30) + sector * (1 << 20), 1 << 20);
        }
        cells.add(75 << 30, (25 << 30) - 512);
        let thousandths = cells.thousandths();
        assert_eq!(thousandths, [1, 1000, 0, 999]);
        assert_eq!(draw(&thousandths, true).0, "░█·▓");
        assert_eq!(draw(&thousandths, false).0, "-#.*");
    }

    #[test]
    fn small_disks_have_few_cells() {
        for (len, cells) in [(0, 0), (1, 1), (512, 1), (1024, 2), (64 * 512, 64), (65 * 512, 33)] {
            assert_eq!(Cells::new(len, 64).thousandths().len(), cells, "{len}");
        }
    }
}
