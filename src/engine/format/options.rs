//! The options of every format by name: one table for the command line, its help and the docs.
//!
//! Judges single values only; whoever writes judges their combination. Invariant: every value that
//! the table names is understood, and what is not in the table is refused with what is allowed.

use super::{FormatName, Params, qcow2, vdi, vhd, vhdx, vmdk};
use crate::engine::base::{Error, Kind};
use crate::units::{ByteSize, parse_size};

/// One option of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatOption {
    /// Its name, as documents spell it.
    pub name: &'static str,
    /// What it may be.
    pub values: Values,
    /// What it is when it is not given.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
}

/// What an option may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these words.
    Words(&'static [&'static str]),
    /// A size from the first to the last, in bytes: a power of two.
    PowerOfTwo(u64, u64),
    /// A number from the first to the last.
    Number(u32, u32),
}

const BOOLEAN: Values = Values::Words(&["false", "true"]);

const QCOW2: &[FormatOption] = &[
    FormatOption {
        name: "compat",
        values: Values::Words(&["1.1", "0.10"]),
        default: "1.1",
        help: "The oldest QEMU that reads it: 1.1 is version 3 of the format, 0.10 is version 2.",
    },
    FormatOption {
        name: "clusterSize",
        values: Values::PowerOfTwo(512, 2 << 20),
        default: "64Ki",
        help: "Bytes of a cluster.",
    },
    FormatOption {
        name: "compression",
        values: Values::Words(&["none", "zlib", "zstd"]),
        default: "none",
        help: "How clusters are compressed.",
    },
    FormatOption {
        name: "lazyRefcounts",
        values: BOOLEAN,
        default: "false",
        help: "Lets QEMU write reference counts late.",
    },
    FormatOption {
        name: "preallocation",
        values: Values::Words(&["off", "metadata", "falloc", "full"]),
        default: "off",
        help: "What is allocated before it is needed.",
    },
];

const VMDK: &[FormatOption] = &[
    FormatOption {
        name: "subformat",
        values: Values::Words(&["monolithicSparse", "monolithicFlat", "streamOptimized"]),
        default: "monolithicSparse",
        help: "One file that grows, a descriptor beside a raw file, or one compressed file.",
    },
    FormatOption {
        name: "adapterType",
        values: Values::Words(&["ide", "buslogic", "lsilogic"]),
        default: "ide",
        help: "The disk controller that the descriptor names.",
    },
    FormatOption {
        name: "hardwareVersion",
        values: Values::Number(3, 22),
        default: "4",
        help: "The virtual hardware that the descriptor names.",
    },
];

const VHD: &[FormatOption] = &[
    FormatOption {
        name: "subformat",
        values: Values::Words(&["dynamic", "fixed"]),
        default: "dynamic",
        help: "A file that grows, or the raw disk with a footer.",
    },
    FormatOption {
        name: "sizing",
        values: Values::Words(&["chs", "exact"]),
        default: "chs",
        help: "Rounded up to cylinders, heads and sectors, or exactly that of the disk.",
    },
];

const VHDX: &[FormatOption] = &[
    FormatOption {
        name: "subformat",
        values: Values::Words(&["dynamic", "fixed"]),
        default: "dynamic",
        help: "A file that grows, or one with all blocks allocated.",
    },
    FormatOption {
        name: "blockSize",
        values: Values::PowerOfTwo(1 << 20, 256 << 20),
        default: "by the size of the disk",
        help: "Bytes of a block.",
    },
];

const VDI: &[FormatOption] = &[FormatOption {
    name: "subformat",
    values: Values::Words(&["dynamic", "static"]),
    default: "dynamic",
    help: "A file that grows, or one with all blocks allocated.",
}];

impl FormatName {
    /// The options of the format.
    #[must_use]
    pub const fn options(self) -> &'static [FormatOption] {
        match self {
            Self::Raw => &[],
            Self::Qcow2 => QCOW2,
            Self::Vmdk => VMDK,
            Self::Vhd => VHD,
            Self::Vhdx => VHDX,
            Self::Vdi => VDI,
        }
    }
}

impl Params {
    /// The format with all options at their default.
    #[must_use]
    pub fn default_of(format: FormatName) -> Self {
        match format {
            FormatName::Raw => Self::Raw,
            FormatName::Qcow2 => Self::Qcow2(qcow2::Params::default()),
            FormatName::Vmdk => Self::Vmdk(vmdk::Params::default()),
            FormatName::Vhd => Self::Vhd(vhd::Params::default()),
            FormatName::Vhdx => Self::Vhdx(vhdx::Params::default()),
            FormatName::Vdi => Self::Vdi(vdi::Params::default()),
        }
    }

    /// The format with these options; what is not given is at its default.
    pub fn with<'a>(
        format: FormatName,
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let mut params = Self::default_of(format);
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in given {
            let option = format.options().iter().find(|option| option.name == name);
            let option = option.ok_or_else(|| unknown(format, name))?;
            if seen.contains(&option.name) {
                return Err(refused(format!("{format} option {name} is given twice")));
            }
            seen.push(option.name);
            let value = option.judge(format, value)?;
            params.set(name, &value);
        }
        Ok(params)
    }

    /// Sets an option to a judged value.
    fn set(&mut self, name: &str, value: &Value<'_>) {
        match self {
            Self::Raw => {}
            Self::Qcow2(params) => set_qcow2(params, name, value),
            Self::Vmdk(params) => set_vmdk(params, name, value),
            Self::Vhd(params) => set_vhd(params, name, value),
            Self::Vhdx(params) => set_vhdx(params, name, value),
            Self::Vdi(params) => {
                params.subformat = match value {
                    Value::Word("static") => vdi::Subformat::Static,
                    _ => vdi::Subformat::Dynamic,
                }
            }
        }
    }
}

/// A judged value.
enum Value<'a> {
    Word(&'a str),
    Size(u64),
    Number(u32),
}

impl FormatOption {
    /// What the option may be, for people: `none, zlib or zstd`.
    #[must_use]
    pub fn allowed(&self) -> String {
        match self.values {
            Values::Words([all @ .., last]) if !all.is_empty() => {
                format!("{} or {last}", all.join(", "))
            }
            Values::Words(all) => all.join(", "),
            Values::PowerOfTwo(least, most) => {
                let size = ByteSize::bytes;
                format!("a power of two from {} to {}", size(least), size(most))
            }
            Values::Number(least, most) => format!("{least} to {most}"),
        }
    }

    fn judge<'a>(&self, format: FormatName, value: &'a str) -> Result<Value<'a>, Error> {
        let judged = match self.values {
            Values::Words(all) => all.contains(&value).then_some(Value::Word(value)),
            Values::PowerOfTwo(least, most) => parse_size(value)
                .ok()
                .map(ByteSize::get)
                .filter(|size| size.is_power_of_two() && (least..=most).contains(size))
                .map(Value::Size),
            Values::Number(least, most) => {
                let number = value.parse().ok();
                number.filter(|number| (least..=most).contains(number)).map(Value::Number)
            }
        };
        judged.ok_or_else(|| {
            let Self { name, .. } = self;
            refused(format!("{format} option {name} is {value:?}; allowed: {}", self.allowed()))
        })
    }
}

fn set_qcow2(params: &mut qcow2::Params, name: &str, value: &Value<'_>) {
    use qcow2::{Compat, Compression, Preallocation};
    match (name, value) {
        ("compat", Value::Word("0.10")) => params.compat = Compat::V2,
        ("compat", _) => params.compat = Compat::V3,
        ("clusterSize", Value::Size(size)) => params.cluster_size = *size,
        ("compression", Value::Word("zlib")) => params.compression = Compression::Zlib,
        ("compression", Value::Word("zstd")) => params.compression = Compression::Zstd,
        ("compression", _) => params.compression = Compression::None,
        ("lazyRefcounts", Value::Word(word)) => params.lazy_refcounts = *word == "true",
        ("preallocation", Value::Word("metadata")) => {
            params.preallocation = Preallocation::Metadata;
        }
        ("preallocation", Value::Word("falloc")) => params.preallocation = Preallocation::Falloc,
        ("preallocation", Value::Word("full")) => params.preallocation = Preallocation::Full,
        ("preallocation", _) => params.preallocation = Preallocation::Off,
        _ => {}
    }
}

fn set_vmdk(params: &mut vmdk::Params, name: &str, value: &Value<'_>) {
    use vmdk::{Adapter, Subformat};
    match (name, value) {
        ("subformat", Value::Word("monolithicFlat")) => {
            params.subformat = Subformat::MonolithicFlat;
        }
        ("subformat", Value::Word("streamOptimized")) => {
            params.subformat = Subformat::StreamOptimized;
        }
        ("subformat", _) => params.subformat = Subformat::MonolithicSparse,
        ("adapterType", Value::Word("buslogic")) => params.adapter = Adapter::BusLogic,
        ("adapterType", Value::Word("lsilogic")) => params.adapter = Adapter::LsiLogic,
        ("adapterType", _) => params.adapter = Adapter::Ide,
        ("hardwareVersion", Value::Number(number)) => params.hardware_version = *number,
        _ => {}
    }
}

fn set_vhd(params: &mut vhd::Params, name: &str, value: &Value<'_>) {
    match (name, value) {
        ("subformat", Value::Word("fixed")) => params.subformat = vhd::Subformat::Fixed,
        ("subformat", _) => params.subformat = vhd::Subformat::Dynamic,
        ("sizing", Value::Word("exact")) => params.sizing = vhd::Sizing::Exact,
        ("sizing", _) => params.sizing = vhd::Sizing::Chs,
        _ => {}
    }
}

fn set_vhdx(params: &mut vhdx::Params, name: &str, value: &Value<'_>) {
    match (name, value) {
        ("subformat", Value::Word("fixed")) => params.subformat = vhdx::Subformat::Fixed,
        ("subformat", _) => params.subformat = vhdx::Subformat::Dynamic,
        ("blockSize", Value::Size(size)) => params.block_size = *size,
        _ => {}
    }
}

fn unknown(format: FormatName, name: &str) -> Error {
    let known: Vec<_> = format.options().iter().map(|option| option.name).collect();
    if known.is_empty() {
        return refused(format!("{format} has no options, so no {name:?}"));
    }
    refused(format!("{format} has no option {name:?}; known: {}", known.join(", ")))
}

fn refused(message: String) -> Error {
    Error::new(Kind::Document, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_understood_and_only_the_default_changes_nothing() {
        for format in FormatName::ALL {
            let default = Params::default_of(format);
            assert_eq!(Params::with(format, []).unwrap(), default);
            for option in format.options() {
                let values: Vec<String> = match option.values {
                    Values::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
                    Values::PowerOfTwo(least, most) => vec![least.to_string(), most.to_string()],
                    Values::Number(least, most) => vec![least.to_string(), most.to_string()],
                };
                let set = |value: &str| Params::with(format, [(option.name, value)]);
                for (at, value) in values.iter().enumerate() {
                    let params = set(value).unwrap();
                    let same = *value == option.default;
                    assert_eq!(params == default, same, "{format} {} {value}", option.name);
                    for other in &values[..at] {
                        assert_ne!(set(other).unwrap(), params, "{format} {}", option.name);
                    }
                }
                assert!(set("").is_err() && set("melon").is_err());
            }
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_refused_with_what_is_allowed() {
        let error =
            |format, name, value| Params::with(format, [(name, value)]).unwrap_err().to_string();
        for (text, wanted) in [
            (error(FormatName::Raw, "a", "b"), "raw has no options, so no \"a\""),
            (
                error(FormatName::Vhd, "type", "b"),
                "vhd has no option \"type\"; known: subformat, sizing",
            ),
            (
                error(FormatName::Qcow2, "compression", "lzma"),
                "qcow2 option compression is \"lzma\"; allowed: none, zlib or zstd",
            ),
            (
                error(FormatName::Qcow2, "clusterSize", "65Ki"),
                "qcow2 option clusterSize is \"65Ki\"; allowed: a power of two from 512 to 2Mi",
            ),
            (
                error(FormatName::Vmdk, "hardwareVersion", "0"),
                "vmdk option hardwareVersion is \"0\"; allowed: 3 to 22",
            ),
        ] {
            assert_eq!(text, wanted);
        }
        let twice = Params::with(FormatName::Vdi, [("subformat", "static"); 2]).unwrap_err();
        assert_eq!(twice.to_string(), "vdi option subformat is given twice");
    }
}
