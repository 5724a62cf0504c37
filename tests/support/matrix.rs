//! Every format with every combination of its options, as our parameters and as the arguments of
//! `qemu-img convert`.
//!
//! Judges nothing. Invariant: made from the engine's own table of options, so that an option that
//! is added there is in the matrix.

use vmimage::engine::format::{FormatName, Params, Values};

/// A format with options.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) format: FormatName,
    /// Name and value, as documents spell them.
    pub(crate) options: Vec<(&'static str, String)>,
}

impl Form {
    /// The format with these options.
    pub(crate) fn new(format: FormatName, options: &[(&'static str, &str)]) -> Self {
        let options = options.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { format, options }
    }

    /// `qcow2 compat=0.10 compression=zlib`.
    pub(crate) fn name(&self) -> String {
        let options = self.options.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{}{}", self.format, options.collect::<String>())
    }

    pub(crate) fn params(&self) -> Params {
        let options = self.options.iter().map(|(name, value)| (*name, value.as_str()));
        Params::with(self.format, options).unwrap()
    }

    /// What QEMU calls the format.
    pub(crate) fn driver(&self) -> &'static str {
        driver(self.format)
    }

    /// The arguments that make `qemu-img convert` write the same.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["-O".to_owned(), self.driver().to_owned()];
        for (name, value) in &self.options {
            let on = |text: &str| if value == text { "on" } else { "off" };
            let option = match (self.format, *name) {
                (FormatName::Qcow2, "compression") if value == "none" => continue,
                (FormatName::Qcow2, "compression") => {
                    arguments.push("-c".to_owned());
                    format!("compression_type={value}")
                }
                (_, "clusterSize") => format!("cluster_size={}", value.replace("Ki", "K")),
                (_, "lazyRefcounts") => format!("lazy_refcounts={}", on("true")),
                (_, "adapterType") => format!("adapter_type={value}"),
                (_, "hardwareVersion") => format!("hwversion={value}"),
                (FormatName::Vhd, "sizing") => format!("force_size={}", on("exact")),
                (_, "blockSize") => format!("block_size={value}"),
                (FormatName::Vdi, "subformat") => format!("static={}", on("static")),
                (_, name) => format!("{name}={value}"),
            };
            arguments.extend(["-o".to_owned(), option]);
        }
        arguments
    }
}

/// Who judges a kind of file beside qemu-img's converting.
pub(crate) struct Judges {
    /// Whether `qemu-img check` can; else it ends with 63.
    pub(crate) checks: bool,
    /// The second reader, in the tests of the format.
    pub(crate) second: &'static str,
    /// What the rules were taken from.
    pub(crate) rules: &'static str,
}

/// Who judges files of this form.
pub(crate) fn judges(form: &Form) -> Judges {
    let says = |value: &str| form.options.iter().any(|(_, held)| held == value);
    let (checks, second, rules) = match form.format {
        FormatName::Raw => (false, "sha256sum", "none to check"),
        FormatName::Qcow2 if says("zstd") => {
            (true, "none (imago reads no zstd)", "QEMU's qcow2.txt")
        }
        FormatName::Qcow2 => (true, "imago", "QEMU's qcow2.txt"),
        FormatName::Vmdk if says("monolithicFlat") => (true, "7-Zip", "VMware's note 5.0"),
        FormatName::Vmdk => (true, "7-Zip, libvmdk", "VMware's note 5.0"),
        FormatName::Vhd => (false, "7-Zip, libvhdi", "Microsoft's VHD 1.0; Azure's rules"),
        FormatName::Vhdx => (true, "7-Zip, libvhdi", "[MS-VHDX]"),
        FormatName::Vdi => (true, "7-Zip", "VirtualBox' header 1.1"),
    };
    Judges { checks, second, rules }
}

/// What QEMU calls a format.
fn driver(format: FormatName) -> &'static str {
    match format {
        FormatName::Vhd => "vpc",
        other => other.as_str(),
    }
}

/// Every format with every combination of its options. Of numbers, the ends and the default.
pub(crate) fn all() -> Vec<Form> {
    FormatName::ALL.into_iter().flat_map(of).collect()
}

fn of(format: FormatName) -> Vec<Form> {
    let mut forms = vec![Form::new(format, &[])];
    for option in format.options() {
        let values = values(option.values);
        forms = forms
            .iter()
            .flat_map(|form| {
                values.iter().map(move |value| {
                    let mut form = form.clone();
                    form.options.push((option.name, value.clone()));
                    form
                })
            })
            .collect();
    }
    forms
}

fn values(of: Values) -> Vec<String> {
    let bytes = |bytes: u64| vec![bytes.to_string()];
    match of {
        Values::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        Values::PowerOfTwo(512, most) => [bytes(512), bytes(64 << 10), bytes(most)].concat(),
        Values::PowerOfTwo(least, _) => [bytes(least), bytes(least << 5)].concat(),
        Values::Number(..) => vec!["4".to_owned(), "21".to_owned()],
    }
}

/// One of each kind of file: what conversions go between.
pub(crate) fn kinds() -> Vec<Form> {
    use FormatName::{Qcow2, Raw, Vdi, Vhd, Vhdx, Vmdk};
    vec![
        Form::new(Raw, &[]),
        Form::new(Qcow2, &[]),
        Form::new(Qcow2, &[("compat", "0.10")]),
        Form::new(Qcow2, &[("compression", "zlib")]),
        Form::new(Qcow2, &[("compression", "zstd")]),
        Form::new(Vmdk, &[]),
        Form::new(Vmdk, &[("subformat", "monolithicFlat")]),
        Form::new(Vmdk, &[("subformat", "streamOptimized")]),
        Form::new(Vhd, &[("subformat", "fixed"), ("sizing", "exact")]),
        Form::new(Vhd, &[("subformat", "dynamic"), ("sizing", "exact")]),
        Form::new(Vhd, &[]),
        Form::new(Vhdx, &[]),
        Form::new(Vhdx, &[("subformat", "fixed")]),
        Form::new(Vdi, &[]),
        Form::new(Vdi, &[("subformat", "static")]),
    ]
}
