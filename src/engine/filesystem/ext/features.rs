//! Features of ext2, ext3 and ext4: which a filesystem has, by their usual names.
//!
//! Places nothing. Invariant: a set that was accepted can be written, and Linux mounts it.

use super::ondisk::{compat, incompat, ro_compat};
use super::{Base, Params, Variant};
use crate::engine::base::{Error, Kind};

/// A feature: a bit of one of three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    Compat(u32),
    Incompat(u32),
    Ro(u32),
}

/// The three words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) compat: u32,
    pub(super) incompat: u32,
    pub(super) ro: u32,
}

pub(super) const JOURNAL: Feature = Feature::Compat(compat::HAS_JOURNAL);
pub(super) const EXT_ATTR: Feature = Feature::Compat(compat::EXT_ATTR);
pub(super) const RESIZE_INODE: Feature = Feature::Compat(compat::RESIZE_INODE);
pub(super) const DIR_INDEX: Feature = Feature::Compat(compat::DIR_INDEX);
pub(super) const FILETYPE: Feature = Feature::Incompat(incompat::FILETYPE);
pub(super) const EXTENTS: Feature = Feature::Incompat(incompat::EXTENTS);
pub(super) const B64: Feature = Feature::Incompat(incompat::B64);
pub(super) const FLEX_BG: Feature = Feature::Incompat(incompat::FLEX_BG);
pub(super) const META_BG: Feature = Feature::Incompat(incompat::META_BG);
pub(super) const SPARSE_SUPER: Feature = Feature::Ro(ro_compat::SPARSE_SUPER);
pub(super) const LARGE_FILE: Feature = Feature::Ro(ro_compat::LARGE_FILE);
pub(super) const HUGE_FILE: Feature = Feature::Ro(ro_compat::HUGE_FILE);
pub(super) const DIR_NLINK: Feature = Feature::Ro(ro_compat::DIR_NLINK);
pub(super) const EXTRA_ISIZE: Feature = Feature::Ro(ro_compat::EXTRA_ISIZE);
pub(super) const CSUM: Feature = Feature::Ro(ro_compat::METADATA_CSUM);

/// Those that can be asked for, by the names of mke2fs.
const WRITTEN: &[(&str, Feature)] = &[
    ("has_journal", JOURNAL),
    ("ext_attr", EXT_ATTR),
    ("resize_inode", RESIZE_INODE),
    ("dir_index", DIR_INDEX),
    ("filetype", FILETYPE),
    ("extent", EXTENTS),
    ("extents", EXTENTS),
    ("64bit", B64),
    ("flex_bg", FLEX_BG),
    ("sparse_super", SPARSE_SUPER),
    ("large_file", LARGE_FILE),
    ("huge_file", HUGE_FILE),
    ("dir_nlink", DIR_NLINK),
    ("extra_isize", EXTRA_ISIZE),
    ("metadata_csum", CSUM),
];

/// Those that are only read, or only named when they are refused.
const OTHERS: &[(&str, Feature)] = &[
    ("sparse_super2", Feature::Compat(compat::SPARSE_SUPER2)),
    ("fast_commit", Feature::Compat(0x400)),
    ("stable_inodes", Feature::Compat(0x800)),
    ("orphan_file", Feature::Compat(0x1000)),
    ("compression", Feature::Incompat(incompat::COMPRESSION)),
    ("needs_recovery", Feature::Incompat(incompat::RECOVER)),
    ("journal_dev", Feature::Incompat(incompat::JOURNAL_DEV)),
    ("meta_bg", META_BG),
    ("mmp", Feature::Incompat(incompat::MMP)),
    ("ea_inode", Feature::Incompat(incompat::EA_INODE)),
    ("dirdata", Feature::Incompat(incompat::DIRDATA)),
    ("metadata_csum_seed", Feature::Incompat(incompat::CSUM_SEED)),
    ("large_dir", Feature::Incompat(incompat::LARGEDIR)),
    ("inline_data", Feature::Incompat(incompat::INLINE_DATA)),
    ("encrypt", Feature::Incompat(incompat::ENCRYPT)),
    ("casefold", Feature::Incompat(incompat::CASEFOLD)),
    ("uninit_bg", Feature::Ro(ro_compat::GDT_CSUM)),
    ("quota", Feature::Ro(0x100)),
    ("bigalloc", Feature::Ro(ro_compat::BIGALLOC)),
    ("project", Feature::Ro(0x2000)),
    ("verity", Feature::Ro(ro_compat::VERITY)),
    ("orphan_present", Feature::Ro(ro_compat::ORPHAN_PRESENT)),
];

/// Pairs that mke2fs or Linux refuses: the first needs the second.
const NEEDS: &[(&str, &str)] =
    &[("resize_inode", "sparse_super"), ("64bit", "extent"), ("huge_file", "large_file")];

impl Features {
    /// Whether it is there.
    pub(super) const fn has(self, feature: Feature) -> bool {
        match feature {
            Feature::Compat(bit) => self.compat & bit != 0,
            Feature::Incompat(bit) => self.incompat & bit != 0,
            Feature::Ro(bit) => self.ro & bit != 0,
        }
    }

    /// Switches it on or off.
    pub(super) const fn set(&mut self, feature: Feature, on: bool) {
        let (word, bit) = match feature {
            Feature::Compat(bit) => (&mut self.compat, bit),
            Feature::Incompat(bit) => (&mut self.incompat, bit),
            Feature::Ro(bit) => (&mut self.ro, bit),
        };
        if on {
            *word |= bit;
        } else {
            *word &= !bit;
        }
    }

    /// What `params` ask for. Inodes of 128 bytes have no room for `extra_isize`.
    pub(super) fn of(params: &Params, inode_size: u16) -> Result<Self, Error> {
        let mut features = Self::default();
        for feature in starting(params) {
            features.set(*feature, true);
        }
        if inode_size < 256 {
            features.set(EXTRA_ISIZE, false);
        }
        for toggle in &params.toggles {
            let (on, name) = match toggle.split_at_checked(1) {
                Some(("+", name)) => (true, name),
                Some(("-", name)) => (false, name),
                _ => return Err(refused(format!("\"{toggle}\" is neither +name nor -name"))),
            };
            features.set(written(name)?, on);
        }
        features.check(inode_size)?;
        Ok(features)
    }

    fn check(self, inode_size: u16) -> Result<(), Error> {
        for (one, other) in NEEDS {
            if self.has(written(one)?) && !self.has(written(other)?) {
                let message = format!("{one} needs {other}: add +{other} or -{one}");
                return Err(refused(message));
            }
        }
        if self.has(EXTRA_ISIZE) && inode_size < 256 {
            let message = "extra_isize needs inodes of 256 bytes, they have 128";
            return Err(refused(message.to_owned()));
        }
        Ok(())
    }

    /// Their names, for `inspect`; a bit without one by its number.
    pub(super) fn names(self) -> Vec<String> {
        let mut left = self;
        let mut names = Vec::new();
        for (name, feature) in WRITTEN.iter().chain(OTHERS) {
            if left.has(*feature) {
                left.set(*feature, false);
                names.push((*name).to_owned());
            }
        }
        let rest = [("compat", left.compat), ("incompat", left.incompat), ("ro_compat", left.ro)];
        names.extend(
            rest.iter().filter(|(_, w)| *w != 0).map(|(name, word)| format!("{name}:{word:#x}")),
        );
        names
    }

    /// The same without those of `other`.
    pub(super) const fn without(self, other: Self) -> Self {
        Self {
            compat: self.compat & !other.compat,
            incompat: self.incompat & !other.incompat,
            ro: self.ro & !other.ro,
        }
    }
}

/// What mke2fs begins with.
fn starting(params: &Params) -> &'static [Feature] {
    const EXT2: &[Feature] =
        &[SPARSE_SUPER, LARGE_FILE, FILETYPE, RESIZE_INODE, DIR_INDEX, EXT_ATTR];
    const EXT3: &[Feature] =
        &[SPARSE_SUPER, LARGE_FILE, FILETYPE, RESIZE_INODE, DIR_INDEX, EXT_ATTR, JOURNAL];
    const EXT4: &[Feature] = &[
        SPARSE_SUPER,
        LARGE_FILE,
        FILETYPE,
        RESIZE_INODE,
        DIR_INDEX,
        EXT_ATTR,
        JOURNAL,
        EXTENTS,
        HUGE_FILE,
        FLEX_BG,
        CSUM,
        B64,
        DIR_NLINK,
        EXTRA_ISIZE,
    ];
    match (params.features, params.variant) {
        (Base::None, _) => &[],
        (Base::Default, Variant::Ext2) => EXT2,
        (Base::Default, Variant::Ext3) => EXT3,
        (Base::Default, Variant::Ext4) => EXT4,
    }
}

fn written(name: &str) -> Result<Feature, Error> {
    let found = WRITTEN.iter().find(|(known, _)| *known == name);
    found.map(|(_, feature)| *feature).ok_or_else(|| {
        let known: Vec<_> = WRITTEN.iter().map(|(name, _)| *name).collect();
        refused(format!("the feature \"{name}\" is not written; known are {}", known.join(", ")))
    })
}

fn refused(message: String) -> Error {
    Error::new(Kind::Document, format!("ext features: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variant: Variant, toggles: &[&str]) -> Result<Features, Error> {
        let toggles = toggles.iter().map(|toggle| (*toggle).to_owned()).collect();
        Features::of(&Params { variant, toggles, ..Params::default() }, 256)
    }

    #[test]
    fn toggles_change_what_a_variant_has() {
        let plain = of(Variant::Ext4, &[]).unwrap();
        assert!(plain.has(CSUM) && plain.has(EXTENTS) && plain.has(B64));
        let less = of(Variant::Ext4, &["-metadata_csum", "-has_journal"]).unwrap();
        assert!(!less.has(CSUM) && !less.has(JOURNAL) && less.has(FLEX_BG));
        assert!(of(Variant::Ext2, &["+has_journal"]).unwrap().has(JOURNAL));
        // dumpe2fs of a filesystem that mke2fs -t ext3 makes lists these.
        assert_eq!(
            of(Variant::Ext3, &[]).unwrap().names(),
            [
                "has_journal",
                "ext_attr",
                "resize_inode",
                "dir_index",
                "filetype",
                "sparse_super",
                "large_file"
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (toggles, why) in [
            (&["-sparse_super"][..], "resize_inode needs sparse_super"),
            (&["-extent"], "64bit needs extent"),
            (&["-large_file"], "huge_file needs large_file"),
            (&["+casefold"], "\"casefold\" is not written"),
            (&["journal"], "neither +name nor -name"),
            (&[""], "neither +name nor -name"),
        ] {
            let error = of(Variant::Ext4, toggles).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
