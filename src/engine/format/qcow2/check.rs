//! Judges the structure of a whole file: every reference count against the references that there
//! are.
//!
//! Reads no data. What is counted follows QEMU's check: a cluster with more references than its
//! count is an error, one with fewer a leak. Invariants: never panics; memory is a window of
//! counts (32 MiB) beside a few tables: large files are walked once per window.

use super::geometry::ENTRY;
use super::map::{Rules, read_table};
use super::ondisk::{ENTRY_COMPRESSED, ENTRY_COPIED, ENTRY_OFFSET};
use super::parse::{Layout, damaged, unsupported};
use super::refcounts::Refcounts;
use super::tally::Tally;
use super::walk::{L1, Visit, snapshot_tables, walk_bitmaps, walk_l1};
use crate::engine::base::{Error, Progress, SectorSource, Work};
use crate::engine::format::{Findings, Severity};

/// Clusters whose references are counted in one walk.
const WINDOW: u64 = 16 << 20;

/// Walks at most: 64 TiB of file with clusters of 64 KiB.
const MOST_WALKS: u64 = 64;

/// A file to judge.
pub(super) struct Subject<'a> {
    pub(super) source: &'a dyn SectorSource,
    pub(super) rules: Rules,
    pub(super) layout: &'a Layout,
}

/// Judges the file.
pub(super) fn check(subject: &Subject<'_>, work: &Work<'_>) -> Result<Findings, Error> {
    let geometry = subject.rules.geometry;
    let clusters = geometry.clusters_of(subject.rules.file);
    let walks = clusters.div_ceil(WINDOW);
    if walks > MOST_WALKS {
        let most = (MOST_WALKS * WINDOW).saturating_mul(geometry.cluster());
        return Err(unsupported(format!(
            "{} bytes is too large to be checked, the limit is {most}",
            subject.rules.file
        )));
    }
    work.progress.begin("checking qcow2", geometry.virtual_size().saturating_mul(walks));
    let mut refcounts = Refcounts::open(subject.source, geometry, subject.layout)?;
    let mut findings = Findings::default();
    for walk in 0..walks {
        let window = walk * WINDOW..clusters.min((walk + 1) * WINDOW);
        let mut tally = Tally::new(geometry, subject.rules.file, window);
        let mut checker = Checker {
            subject,
            refcounts: &mut refcounts,
            tally: &mut tally,
            // All walks find the same; one tells.
            findings: (walk == 0).then_some(&mut findings),
            progress: work.progress,
        };
        checker.walk()?;
        compare(&tally, &mut refcounts, &mut findings)?;
    }
    Ok(findings)
}

/// Compares the references of a window with their counts.
fn compare(
    tally: &Tally,
    refcounts: &mut Refcounts<'_>,
    findings: &mut Findings,
) -> Result<(), Error> {
    for (cluster, offset, references) in tally.iter() {
        let count = refcounts.count(cluster)?;
        // The tally ends at 65535; wider counts are compared up to there.
        let told = count.min(u64::from(u16::MAX));
        if told < references {
            let message =
                format!("cluster {cluster} has a count of {count}, {references} is right");
            findings.add(Severity::Error, offset, message);
        } else if told > references {
            let message = format!(
                "cluster {cluster} has a count of {count}, but {references} references: leaked"
            );
            findings.add(Severity::Leak, offset, message);
        }
    }
    Ok(())
}

/// One walk over all tables.
struct Checker<'a, 'b> {
    subject: &'a Subject<'a>,
    refcounts: &'b mut Refcounts<'a>,
    tally: &'b mut Tally,
    findings: Option<&'b mut Findings>,
    progress: &'a dyn Progress,
}

impl Checker<'_, '_> {
    fn walk(&mut self) -> Result<(), Error> {
        let Subject { source, rules, layout } = *self.subject;
        let geometry = rules.geometry;
        self.refer("header", 0, 1);
        let active =
            L1 { offset: layout.l1_offset, entries: layout.l1_entries.into(), active: true };
        walk_l1(source, &active, self)?;
        match snapshot_tables(source, geometry, layout) {
            Ok((bytes, tables)) => {
                self.refer("snapshot table", layout.snapshots_offset, bytes);
                for table in tables {
                    walk_l1(source, &table, self)?;
                }
            }
            Err(error) => self.wrong(layout.snapshots_offset, error.to_string()),
        }
        if let Some(bitmaps) = &layout.bitmaps
            && let Err(error) = walk_bitmaps(source, geometry, bitmaps, self)
        {
            self.wrong(bitmaps.offset, error.to_string());
        }
        let table = u64::from(layout.refcount_clusters) * geometry.cluster();
        self.refer("refcount table", layout.refcount_table, table);
        self.refcount_blocks();
        Ok(())
    }

    fn refcount_blocks(&mut self) {
        let cluster = self.subject.rules.geometry.cluster();
        let entries: Vec<_> = self.refcounts.entries().collect();
        for (index, entry) in entries {
            if self.refcounts.is_block(entry) {
                self.refer("refcount block", entry, cluster);
            } else {
                let message = format!(
                    "refcount table entry {index} is {entry:#x}: not a cluster of the file"
                );
                self.wrong(self.subject.layout.refcount_table + index * ENTRY, message);
            }
        }
    }

    fn wrong(&mut self, offset: u64, message: String) {
        if let Some(findings) = &mut self.findings {
            findings.add(Severity::Error, offset, message);
        }
    }

    /// Bit 63 of an entry of the active state says whether the count is one.
    fn copied(&mut self, place: u64, what: &str, entry: u64) -> Result<(), Error> {
        if self.findings.is_none() {
            return Ok(());
        }
        let cluster = (entry & ENTRY_OFFSET) / self.subject.rules.geometry.cluster();
        let count = self.refcounts.count(cluster)?;
        let marked = entry & ENTRY_COPIED != 0;
        if (count == 1) != marked {
            let bit = u8::from(marked);
            let message = format!(
                "{what} is {entry:#x}: bit 63 is {bit}, but cluster {cluster} has a count of {count}"
            );
            self.wrong(place, message);
        }
        Ok(())
    }

    /// An entry of an L2 table at `place`. That it points nowhere is told by the rules.
    fn l2_entry(&mut self, place: u64, entry: u64, active: bool) -> Result<(), Error> {
        let rules = self.subject.rules;
        if entry & ENTRY_COMPRESSED != 0 {
            let packed = rules.geometry.unpack(entry).filter(|packed| packed.offset < rules.file);
            if let Some(packed) = packed {
                self.refer("compressed cluster", packed.offset, packed.len);
            }
            return Ok(());
        }
        let offset = entry & ENTRY_OFFSET;
        if offset == 0 || rules.external.is_some() {
            return Ok(());
        }
        if offset < rules.file {
            self.refer("data cluster", offset, rules.geometry.cluster());
        }
        if active {
            self.copied(place, "L2 entry", entry)?;
        }
        Ok(())
    }
}

impl Visit for Checker<'_, '_> {
    fn refer(&mut self, what: &str, offset: u64, len: u64) {
        if let Err(why) = self.tally.refer(offset, len) {
            self.wrong(offset, format!("{what} of {len} bytes: {why}"));
        }
    }

    fn l1_entry(&mut self, l1: &L1, index: u64, entry: u64) -> Result<(), Error> {
        let rules = self.subject.rules;
        let (offset, place) = (entry & ENTRY_OFFSET, l1.offset + index * ENTRY);
        let covers = rules.geometry.l2_entries() * rules.geometry.cluster();
        let done = if l1.active {
            let left = rules.geometry.virtual_size().saturating_sub(index.saturating_mul(covers));
            covers.min(left)
        } else {
            0
        };
        self.progress.advance(done)?;
        if entry & !(ENTRY_OFFSET | ENTRY_COPIED) != 0 {
            self.wrong(place, format!("L1 entry {index} is {entry:#x}: reserved bits are set"));
        }
        if offset == 0 {
            return Ok(());
        }
        self.refer("L2 table", offset, rules.geometry.cluster());
        let table = match read_table(self.subject.source, rules.geometry, "L2 table", offset) {
            Ok(table) => table,
            Err(error) => {
                self.wrong(place, error.to_string());
                return Ok(());
            }
        };
        if l1.active {
            self.copied(place, "L1 entry", entry)?;
        }
        let width = if rules.geometry.is_extended() { 2 } else { 1 };
        for (n, entry) in (0..).zip(table.iter().step_by(width)) {
            let place = offset + n * ENTRY * width as u64;
            if let Err(error) = rules.mapping(&table, n) {
                self.wrong(place, error.to_string());
            }
            self.l2_entry(place, entry.get(), l1.active)?;
        }
        Ok(())
    }

    fn damaged(&mut self, offset: u64, message: String) {
        self.wrong(offset, damaged(message).to_string());
    }
}
