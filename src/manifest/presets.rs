//! The rules of platforms, as data: what `check`, the CEL rules and the engine all go by.
//!
//! Pads nothing and writes nothing. Invariant: a preset's types, options and sizes stand here only.

use super::types::{FormatKind, Preset};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What a platform demands of the images it imports.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The preset.
    pub preset: Preset,
    /// The types it takes.
    pub types: &'static [FormatKind],
    /// Options that it sets.
    pub options: &'static [Setting],
    /// The disk is padded to a multiple of this.
    pub unit: u64,
    /// The disk is padded to at least this.
    pub least: u64,
    /// Who demands that, for people.
    pub who: &'static str,
    /// Whether its import takes a wrapped file.
    pub wrapped: bool,
}

/// An option that a preset sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The type, which is the member, too.
    pub kind: FormatKind,
    /// The field in it.
    pub field: &'static str,
    /// The value.
    pub value: &'static str,
    /// Whether another value is refused.
    pub must: bool,
}

const fn set(kind: FormatKind, field: &'static str, value: &'static str) -> Setting {
    Setting { kind, field, value, must: true }
}

const fn suggest(kind: FormatKind, field: &'static str, value: &'static str) -> Setting {
    Setting { must: false, ..set(kind, field, value) }
}

const EXACT: Setting = set(FormatKind::Vhd, "sizing", "exact");
const STREAM: Setting = set(FormatKind::Vmdk, "subformat", "streamOptimized");

/// All presets.
pub const PRESETS: [Rules; 7] = [
    Rules {
        preset: Preset::Azure,
        types: &[FormatKind::Vhd],
        options: &[set(FormatKind::Vhd, "subformat", "fixed"), EXACT],
        unit: MIB,
        // Microsoft's reference for direct uploads: 20 MiB to 32 TiB.
        least: 20 * MIB,
        who: "Azure takes disks of whole MiB, at least 20 MiB",
        wrapped: false,
    },
    Rules {
        preset: Preset::Aws,
        types: &[
            FormatKind::Raw,
            FormatKind::Vmdk,
            FormatKind::Vhd,
            FormatKind::Vhdx,
            FormatKind::Ova,
        ],
        options: &[STREAM, suggest(FormatKind::Vhd, "subformat", "fixed"), EXACT],
        unit: MIB,
        least: MIB,
        who: "VM Import takes disks of whole MiB",
        wrapped: false,
    },
    Rules {
        preset: Preset::Gce,
        types: &[FormatKind::Raw],
        options: &[],
        unit: GIB,
        least: GIB,
        who: "Compute Engine takes disks of whole GiB",
        wrapped: false,
    },
    Rules {
        preset: Preset::Vsphere,
        types: &[FormatKind::Vmdk, FormatKind::Ova],
        options: &[
            STREAM,
            set(FormatKind::Vmdk, "adapterType", "lsilogic"),
            set(FormatKind::Ova, "manifest", "sha256"),
        ],
        unit: MIB,
        least: MIB,
        who: "vSphere takes disks of whole MiB",
        wrapped: false,
    },
    Rules {
        preset: Preset::Virtualbox,
        types: &[FormatKind::Vdi, FormatKind::Vmdk, FormatKind::Vhd, FormatKind::Ova],
        options: &[EXACT],
        unit: MIB,
        least: MIB,
        who: "VirtualBox counts disks in whole MiB",
        wrapped: false,
    },
    Rules {
        preset: Preset::Hyperv,
        types: &[FormatKind::Vhdx, FormatKind::Vhd],
        options: &[EXACT],
        unit: MIB,
        least: 3 * MIB,
        who: "Hyper-V takes disks of whole MiB, at least 3 MiB",
        wrapped: false,
    },
    Rules {
        preset: Preset::Kubevirt,
        types: &[FormatKind::Raw, FormatKind::Qcow2],
        options: &[],
        unit: MIB,
        least: MIB,
        who: "KubeVirt takes disks of whole MiB",
        wrapped: true,
    },
];

/// The types whose files have a largest disk, in bytes: QEMU's numbers unless said otherwise.
pub const LARGEST: [(FormatKind, u64); 3] = [
    // 0xff000000 sectors.
    (FormatKind::Vhd, 2040 * GIB),
    (FormatKind::Vhdx, 64 << 40),
    // A block map of 64 MiB, the longest that our reader holds; QEMU's limit is 512 TiB.
    (FormatKind::Vdi, 16 << 40),
];

impl Preset {
    /// The rules of this preset.
    #[must_use]
    pub fn rules(self) -> Rules {
        let mut rules = PRESETS.into_iter();
        rules.find(|rules| rules.preset == self).unwrap_or(PRESETS[0])
    }
}

impl Rules {
    /// What it sets `field` of this type to.
    #[must_use]
    pub fn setting(&self, kind: FormatKind, field: &str) -> Option<&'static str> {
        let of = |setting: &&Setting| setting.kind == kind && setting.field == field;
        self.options.iter().find(of).map(|setting| setting.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_its_rules_once() {
        for (preset, rules) in Preset::ALL.into_iter().zip(PRESETS) {
            assert_eq!(preset, rules.preset);
            assert_eq!(preset.rules().preset, preset);
            assert!(!rules.types.is_empty());
            for setting in rules.options {
                assert!(rules.types.contains(&setting.kind), "{setting:?}");
            }
        }
    }
}
