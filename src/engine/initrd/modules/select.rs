//! From names and aliases to modules in the order in which they are loaded.
//!
//! The order is that of modprobe(8): what a module depends on, what it would rather have before, the
//! module, what it would rather have behind. Invariants: each module stands there once, behind all
//! that it depends on; what is missing is an error unless a module only would rather have it.

use std::collections::{BTreeMap, BTreeSet};

use super::info::{Info, canonical};
use super::kernel::{File, Kernel};
use super::pattern::matches;
use super::{Module, Selection};
use crate::engine::base::{Error, Kind, Work};
use crate::engine::codec::ordered;

/// How long a chain of modules may be that each need the next. Linux' longest have about ten.
const DEPTH: usize = 100;

/// Names that are told beside one that is not there.
const NEAR: usize = 3;

/// A choice being made.
struct Chooser<'a> {
    kernel: &'a Kernel,
    work: &'a Work<'a>,
    infos: BTreeMap<&'a str, Info>,
    /// Patterns of all modules with the module, in the order of `modules.order`; made when one is
    /// needed.
    aliases: Option<Vec<(String, &'a str)>>,
    chosen: Vec<&'a str>,
    begun: BTreeSet<&'a str>,
    absent: BTreeSet<String>,
}

/// What a name or alias means.
enum Meaning<'a> {
    Modules(Vec<&'a str>),
    BuiltIn,
    Nothing,
}

impl Kernel {
    /// The modules that `wanted` names, with all that they need. A name may be that of a module
    /// (`virtio_blk`), an alias (`fs-btrfs`, `pci:v00001AF4d00001001sv…`), or a pattern of aliases
    /// (`pci:v00001AF4*`); all modules that answer to an alias are taken.
    pub fn select(&self, wanted: &[String], work: &Work<'_>) -> Result<Selection, Error> {
        let mut chooser = Chooser {
            kernel: self,
            work,
            infos: BTreeMap::new(),
            aliases: None,
            chosen: Vec::new(),
            begun: BTreeSet::new(),
            absent: BTreeSet::new(),
        };
        let mut built_in = Vec::new();
        for name in wanted {
            match chooser.meaning(name)? {
                Meaning::Modules(modules) => {
                    for module in modules {
                        chooser.visit(module, 0)?;
                    }
                }
                Meaning::BuiltIn => built_in.push(name.clone()),
                Meaning::Nothing => return Err(self.unknown(name)),
            }
        }
        chooser.finish(built_in)
    }

    fn unknown(&self, name: &str) -> Error {
        let wanted = canonical(name);
        let score = |known: &&str| {
            let near = strsim::jaro_winkler(&wanted, known);
            (near > 0.8).then_some(near)
        };
        let mut near: Vec<_> = self.names().filter_map(|n| Some((score(&n)?, n))).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let names: Vec<_> = near.iter().take(NEAR).map(|(_, name)| *name).collect();
        let hint = if names.is_empty() {
            format!("{} modules are there", self.files.len())
        } else {
            format!("near: {}", names.join(", "))
        };
        let directory = &self.directory;
        let message = format!("no module or alias \"{name}\" in {directory}; {hint}");
        Error::new(Kind::Input, message)
    }
}

impl<'a> Chooser<'a> {
    fn meaning(&mut self, name: &str) -> Result<Meaning<'a>, Error> {
        if let Some((module, _)) = self.kernel.files.get_key_value(&canonical(name)) {
            return Ok(Meaning::Modules(vec![module]));
        }
        // A pattern that was asked for is compared with patterns as texts, too.
        let answers = |alias: &str| {
            matches(alias, name) || (name.contains(['*', '?']) && matches(name, alias))
        };
        let mut found = Vec::new();
        for (alias, module) in self.aliases()? {
            if !found.contains(module) && answers(alias) {
                found.push(*module);
            }
        }
        if !found.is_empty() {
            return Ok(Meaning::Modules(found));
        }
        // kmod looks here last: a module may answer to the name of a part of the kernel, as faster
        // forms of `crc32` do.
        let built_in = self.kernel.built_in.contains(&canonical(name))
            || self.kernel.built_in_aliases.iter().any(|alias| answers(alias));
        Ok(if built_in { Meaning::BuiltIn } else { Meaning::Nothing })
    }

    /// Reads all modules.
    fn aliases(&mut self) -> Result<&[(String, &'a str)], Error> {
        if self.aliases.is_none() {
            let mut files: Vec<(&str, &File)> =
                self.kernel.files.iter().map(|(name, file)| (name.as_str(), file)).collect();
            files.sort_by(|a, b| (a.1.order, &a.1.path).cmp(&(b.1.order, &b.1.path)));
            let mut aliases = Vec::new();
            let infos = &mut self.infos;
            ordered(
                self.work.threads(),
                files.into_iter(),
                || Ok(()),
                |(), (name, file)| Ok((name, file.info()?)),
                |(name, info)| {
                    aliases.extend(info.aliases.iter().map(|alias| (alias.clone(), name)));
                    infos.insert(name, info);
                    Ok(())
                },
            )?;
            self.aliases = Some(aliases);
        }
        Ok(self.aliases.as_deref().unwrap_or_default())
    }

    fn info(&mut self, module: &'a str) -> Result<Info, Error> {
        if let Some(info) = self.infos.get(module) {
            return Ok(info.clone());
        }
        let file = self.kernel.files.get(module);
        let info = file.map(File::info).transpose()?.unwrap_or_default();
        self.infos.insert(module, info.clone());
        Ok(info)
    }

    /// Puts a module behind all that it needs.
    fn visit(&mut self, module: &'a str, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            let message = format!("more than {DEPTH} modules need each the next; one is {module}");
            return Err(Error::new(Kind::Input, message));
        }
        if !self.begun.insert(module) {
            return Ok(());
        }
        let info = self.info(module)?;
        for needed in &info.depends {
            self.needed(module, needed, depth)?;
        }
        for name in &info.before {
            self.rather(name, depth)?;
        }
        self.chosen.push(module);
        for name in &info.behind {
            self.rather(name, depth)?;
        }
        Ok(())
    }

    fn needed(&mut self, module: &'a str, needed: &str, depth: usize) -> Result<(), Error> {
        if let Some((found, _)) = self.kernel.files.get_key_value(needed) {
            if self.begun.contains(found.as_str()) && !self.chosen.contains(&found.as_str()) {
                let message = format!("the modules {module} and {found} need each other");
                return Err(Error::new(Kind::Input, message));
            }
            return self.visit(found, depth + 1);
        }
        if self.kernel.built_in.contains(needed) {
            return Ok(());
        }
        let directory = &self.kernel.directory;
        let message =
            format!("the module {module} needs the module {needed}, which is not in {directory}");
        Err(Error::new(Kind::Input, message))
    }

    /// What a module would rather have, which may be an alias.
    fn rather(&mut self, name: &str, depth: usize) -> Result<(), Error> {
        match self.meaning(name)? {
            Meaning::Modules(modules) => {
                modules.into_iter().try_for_each(|module| self.visit(module, depth + 1))
            }
            Meaning::BuiltIn => Ok(()),
            Meaning::Nothing => {
                self.absent.insert(name.to_owned());
                Ok(())
            }
        }
    }

    fn finish(self, built_in: Vec<String>) -> Result<Selection, Error> {
        let mut first: Option<(&str, &Info)> = None;
        let mut modules = Vec::with_capacity(self.chosen.len());
        for name in &self.chosen {
            let (Some(file), Some(info)) = (self.kernel.files.get(*name), self.infos.get(name))
            else {
                continue;
            };
            let (other, of) = *first.get_or_insert((name, info));
            if of.vermagic != info.vermagic || of.machine != info.machine {
                return Err(differ((other, of), (name, info)));
            }
            modules.push(Module {
                name: (*name).to_owned(),
                path: file.path.clone(),
                content: file.content.clone(),
                packed: file.packed,
                firmware: info.firmware.clone(),
            });
        }
        Ok(Selection {
            version: self.kernel.version.clone(),
            vermagic: first.map(|(_, info)| info.vermagic.clone()),
            machine: first.map(|(_, info)| info.machine),
            modules,
            built_in,
            absent: self.absent.into_iter().collect(),
        })
    }
}

fn differ(one: (&str, &Info), other: (&str, &Info)) -> Error {
    let told = |(name, info): (&str, &Info)| {
        format!("{name} is for \"{}\" (ELF machine {})", info.vermagic, info.machine)
    };
    let message = format!("modules of different kernels: {}, {}", told(one), told(other));
    Error::new(Kind::Input, message)
}
