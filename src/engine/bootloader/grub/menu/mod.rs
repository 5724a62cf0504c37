//! Menus: `grub.cfg` made of entries, and what GRUB needs to find and to run it.
//!
//! Reads no files and does not look whether paths exist (`paths` tells them). Invariant: no byte of
//! a title, a path or an argument can end the command it belongs to.

mod quote;
mod start;

use std::collections::BTreeSet;

use super::kernel::Version;
use crate::engine::base::{Error, Kind};
use quote::Taker;

pub use start::{Access, Filesystem, Root, Table, menu_core, single_core};

/// A menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// What can be chosen: at least one.
    pub entries: Vec<Entry>,
    /// Which of them is booted when the time is over, from 0 on.
    pub default: usize,
    /// Seconds to choose in; 0: no menu is shown; none: it waits for ever.
    pub timeout: Option<u32>,
    /// Where it is shown and read from; without any it is the screen.
    pub terminals: Vec<Terminal>,
}

/// Where a menu is shown and read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// The text screen of the firmware and its keyboard.
    Console,
    /// A serial port.
    Serial {
        /// 0 is COM1.
        unit: u32,
        /// Bits in a second.
        speed: u32,
    },
    /// A graphical screen, and the firmware's keyboard.
    Graphics {
        /// Path of a font such as `/boot/grub/fonts/unicode.pf2`.
        font: Vec<u8>,
    },
}

/// What can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is shown.
    pub title: String,
    /// What is done.
    pub action: Action,
}

/// What an entry does. Paths begin with `/`, in the filesystem that GRUB has as its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Starts Linux.
    Linux {
        /// The kernel's path.
        kernel: Vec<u8>,
        /// Paths of initial filesystems, loaded one behind the other.
        initrds: Vec<Vec<u8>>,
        /// The command line. GRUB passes on neither `'` nor a backslash, and `"` only around a value.
        arguments: Vec<u8>,
    },
    /// Starts a Multiboot kernel.
    Multiboot {
        /// Which protocol.
        version: Version,
        /// The kernel's path.
        kernel: Vec<u8>,
        /// The command line. GRUB passes on no quotes and no backslash.
        arguments: Vec<u8>,
        /// What is loaded with it.
        modules: Vec<Module>,
    },
    /// Starts what begins with a boot sector.
    Chainload(Chain),
    /// GRUB's own commands.
    Commands(String),
}

/// A module of a Multiboot kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its path.
    pub path: Vec<u8>,
    /// Its command line.
    pub arguments: Vec<u8>,
}

/// A boot sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// A file.
    File(Vec<u8>),
    /// The first sector of a device in GRUB's words, such as `hd0,msdos2` or `hd1`; without one that
    /// of GRUB's root.
    Sector(Option<String>),
}

/// Speeds that GRUB's driver knows (GRUB 2.06, `serial`).
const SPEEDS: [u32; 12] =
    [110, 150, 300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115_200];

impl Menu {
    /// The text of `grub.cfg`.
    pub fn config(&self) -> Result<Vec<u8>, Error> {
        if self.default >= self.entries.len() {
            let message = format!(
                "the menu's default is {} while it has {} entries, counted from 0",
                self.default,
                self.entries.len()
            );
            return Err(Error::new(Kind::Document, message));
        }
        let mut text = terminals(&self.terminals)?;
        text.extend(format!("set default={}\n", self.default).into_bytes());
        let timeout = self.timeout.map_or_else(|| "-1".to_owned(), |seconds| seconds.to_string());
        text.extend(format!("set timeout={timeout}\n").into_bytes());
        for (number, entry) in self.entries.iter().enumerate() {
            let what = format!("menu entry {number}");
            let title = title(&entry.title, &what)?;
            text.extend(b"menuentry ");
            text.extend(quote::word(title.as_bytes()));
            text.extend(b" {\n");
            for command in entry.action.commands(&what)? {
                text.extend(b"  ");
                text.extend(command);
                text.push(b'\n');
            }
            text.extend(b"}\n");
        }
        Ok(text)
    }

    /// The paths that its entries name, with the entry's number, so that they can be looked for.
    #[must_use]
    pub fn paths(&self) -> Vec<(usize, &[u8])> {
        let entries = self.entries.iter().enumerate();
        entries
            .flat_map(|(number, entry)| entry.action.paths().into_iter().map(move |p| (number, p)))
            .collect()
    }

    /// The modules that the menu needs beside those to reach its disk. `commands` is the text of
    /// GRUB's `command.lst`, by which the words of `Action::Commands` are looked up.
    #[must_use]
    pub fn modules(&self, commands: &str) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = ["normal"].into_iter().map(str::to_owned).collect();
        for terminal in &self.terminals {
            let needed: &[&str] = match terminal {
                Terminal::Console => &["terminal"],
                Terminal::Serial { .. } => &["terminal", "serial"],
                Terminal::Graphics { .. } => &["terminal", "gfxterm", "font", "all_video"],
            };
            names.extend(needed.iter().copied().map(str::to_owned));
        }
        for entry in &self.entries {
            names.extend(entry.action.modules(commands));
        }
        names
    }
}

impl Action {
    /// The lines, without what starts it (`boot`): a menu does that by itself.
    pub(super) fn commands(&self, what: &str) -> Result<Vec<Vec<u8>>, Error> {
        let taker = match self {
            Self::Linux { .. } => Taker::Linux,
            _ => Taker::Multiboot,
        };
        let command = |name: &str, path: &[u8], line: &[u8]| -> Result<Vec<u8>, Error> {
            let line = quote::arguments(line, taker, what)?;
            Ok([name.as_bytes(), b" ", &quote::path(path, what)?, &line].concat())
        };
        match self {
            Self::Linux { kernel, initrds, arguments } => {
                let mut lines = vec![command("linux", kernel, arguments)?];
                if !initrds.is_empty() {
                    let mut line = b"initrd".to_vec();
                    for initrd in initrds {
                        line.push(b' ');
                        line.extend(quote::path(initrd, what)?);
                    }
                    lines.push(line);
                }
                Ok(lines)
            }
            Self::Multiboot { version, kernel, arguments, modules } => {
                let (load, add) = version.commands();
                let mut lines = vec![command(load, kernel, arguments)?];
                for module in modules {
                    lines.push(command(add, &module.path, &module.arguments)?);
                }
                Ok(lines)
            }
            Self::Chainload(Chain::File(file)) => Ok(vec![command("chainloader", file, b"")?]),
            Self::Chainload(Chain::Sector(device)) => sector(device.as_deref(), what),
            Self::Commands(text) => {
                balanced(text, what)?;
                Ok(text.lines().map(|line| line.as_bytes().to_vec()).collect())
            }
        }
    }

    fn paths(&self) -> Vec<&[u8]> {
        match self {
            Self::Linux { kernel, initrds, .. } => {
                std::iter::once(kernel).chain(initrds).map(Vec::as_slice).collect()
            }
            Self::Multiboot { kernel, modules, .. } => {
                let modules = modules.iter().map(|module| module.path.as_slice());
                std::iter::once(kernel.as_slice()).chain(modules).collect()
            }
            Self::Chainload(Chain::File(file)) => vec![file],
            Self::Chainload(Chain::Sector(_)) | Self::Commands(_) => Vec::new(),
        }
    }

    /// The modules it needs.
    pub(super) fn modules(&self, commands: &str) -> BTreeSet<String> {
        let one = |name: &str| std::iter::once(name.to_owned()).collect();
        match self {
            Self::Linux { .. } => one("linux"),
            Self::Multiboot { version, .. } => one(version.commands().0),
            Self::Chainload(_) => one("chain"),
            Self::Commands(text) => needed_by(text, commands),
        }
    }
}

/// The modules of all words of `text` that are commands. One too many does no harm.
fn needed_by(text: &str, commands: &str) -> BTreeSet<String> {
    // `command.lst`: a line `NAME: MODULE` for each; a star before it marks an extended one.
    let listed = commands.lines().filter_map(|line| line.trim_start_matches('*').split_once(':'));
    let words: BTreeSet<&str> = text
        .split(|c: char| c.is_whitespace() || matches!(c, ';' | '{' | '}' | '|' | '&'))
        .collect();
    let found = listed.filter(|(name, _)| words.contains(name));
    found.map(|(_, module)| module.trim().to_owned()).collect()
}

fn sector(device: Option<&str>, what: &str) -> Result<Vec<Vec<u8>>, Error> {
    let Some(device) = device else { return Ok(vec![b"chainloader +1".to_vec()]) };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ',' | '_' | '-');
    if device.is_empty() || !device.chars().all(allowed) {
        let message = format!("{what}: {device:?} is no device of GRUB such as hd0,msdos2");
        return Err(Error::new(Kind::Document, message));
    }
    // A boot sector of a partition asks the loader which one it is: GRUB tells it its root.
    Ok(vec![format!("set root={device}").into_bytes(), b"chainloader +1".to_vec()])
}

fn title<'a>(title: &'a str, what: &str) -> Result<&'a str, Error> {
    let refused = |why: &str| {
        let message = format!("{what}: the title {title:?} {why}");
        Err(Error::new(Kind::Document, message))
    };
    if title.is_empty() || title.starts_with('-') {
        return refused("is empty or begins with -, which GRUB takes as an option");
    }
    if title.contains(char::is_control) {
        return refused("has control characters");
    }
    Ok(title)
}

fn terminals(terminals: &[Terminal]) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let (mut input, mut output) = (BTreeSet::new(), BTreeSet::new());
    for terminal in terminals {
        match terminal {
            Terminal::Console => {
                input.insert("console");
                output.insert("console");
            }
            Terminal::Serial { unit, speed } => {
                if *unit > 3 || !SPEEDS.contains(speed) {
                    let message = format!(
                        "serial unit {unit} at {speed} bits in a second; GRUB has units 0 to 3 and \
                         speeds {SPEEDS:?}"
                    );
                    return Err(Error::new(Kind::Document, message));
                }
                text.extend(format!("serial --unit={unit} --speed={speed}\n").into_bytes());
                input.insert("serial");
                output.insert("serial");
            }
            Terminal::Graphics { font } => {
                text.extend(b"loadfont ");
                text.extend(quote::path(font, "the menu's font")?);
                text.extend(b"\nset gfxmode=auto\n");
                input.insert("console");
                output.insert("gfxterm");
            }
        }
    }
    for (command, names) in [("terminal_input", input), ("terminal_output", output)] {
        if !names.is_empty() {
            let names: Vec<&str> = names.into_iter().collect();
            text.extend(format!("{command} {}\n", names.join(" ")).into_bytes());
        }
    }
    Ok(text)
}

/// Refuses commands that would end the entry they stand in, or never end it.
fn balanced(text: &str, what: &str) -> Result<(), Error> {
    let refused =
        |why: &str| Err(Error::new(Kind::Document, format!("{what}: its commands have {why}")));
    if text.contains('\0') {
        return refused("a zero byte");
    }
    let said = |line: &str| !matches!(line.trim_start().chars().next(), None | Some('#'));
    if !text.lines().any(said) {
        // To GRUB an empty block is an error, and with it the whole menu.
        return refused("nothing in them");
    }
    let (mut depth, mut quote, mut chars) = (0_u32, None, text.chars());
    let mut fresh = true;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None | Some('"'), '\\') => {
                chars.next();
            }
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if fresh => {
                chars.by_ref().find(|c| *c == '\n');
            }
            // `${name}` is a variable and `{` a block; both end with `}`.
            (None, '{') => depth += 1,
            (None, '}') => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return refused("a } that begins nowhere"),
            },
            _ => {}
        }
        fresh = c.is_whitespace() || c == ';';
    }
    match (quote, depth) {
        (None, 0) => Ok(()),
        (Some(quote), _) => refused(&format!("a {quote} that does not end")),
        (None, _) => refused("a { that does not end"),
    }
}
