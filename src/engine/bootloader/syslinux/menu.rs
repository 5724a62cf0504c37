//! The text of a config: what is booted, and how somebody is asked.
//!
//! Reads no file and knows no disk. Source: the config's documentation, doc/syslinux.txt and
//! doc/menu.txt of syslinux 6. A config has no quotes: a word ends at a space, a value at the end of
//! its line. Invariant: what a config would read differently than it was meant is refused.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::num::NonZeroU16;

use crate::engine::base::tree::TreePath;
use crate::engine::base::{Error, Kind};

/// "TIMEOUT": the largest that is accepted.
const LONGEST_WAIT: u16 = 35_996;
/// What Linux on x86 takes (Documentation/arch/x86/boot.rst, `cmdline_size`), and syslinux hands on.
const LONGEST_LINE: usize = 2047;
/// Bytes of a path or a name, without the zero behind it.
const LONGEST_PATH: usize = 255;

/// A config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A serial port on which the loader speaks, too.
    pub serial: Option<Serial>,
    /// How long a choice can be made.
    pub wait: Wait,
    /// A menu; none: a prompt, where there is something to wait for.
    pub menu: Option<Menu>,
    /// The number of the entry that is booted when nobody chooses.
    pub default: usize,
    /// What can be booted.
    pub entries: Vec<Entry>,
}

/// A serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial {
    /// 0 is COM1, to 3; or from 100h on an I/O address.
    pub port: u16,
    /// Bits in a second: what 115200 can be divided by without a rest, from 75 on.
    pub baud: u32,
}

/// How long a choice can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all. A menu is there for a tenth of a second.
    No,
    /// So many tenths of a second; a key stops them.
    Tenths(NonZeroU16),
    /// Until there is one.
    Forever,
}

/// A menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// Its heading.
    pub title: String,
    /// On a graphical screen (`vesamenu.c32`) instead of in text, which serial lines have, too.
    pub graphical: bool,
}

/// Something that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is typed to boot it.
    pub label: String,
    /// What a menu shows; none: the label.
    pub title: Option<String>,
    /// What it is.
    pub boot: Boot,
}

/// What is booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// Linux.
    Linux {
        /// The kernel.
        kernel: TreePath,
        /// Parts of the initial filesystem, which are joined.
        initrds: Vec<TreePath>,
        /// What the kernel is told.
        append: String,
    },
    /// A kernel of Multiboot 1 by `mboot.c32`.
    Multiboot {
        /// The kernel.
        kernel: TreePath,
        /// What it is told.
        arguments: String,
        /// Modules, each with what it is told.
        modules: Vec<(TreePath, String)>,
    },
    /// A module of syslinux: `chain.c32`, `reboot.c32`, ...
    Module {
        /// Its name, in the directory of the config.
        name: String,
        /// What it is told.
        arguments: String,
    },
}

impl Config {
    /// The text.
    pub fn text(&self) -> Result<String, Error> {
        let mut text = String::new();
        if let Some(serial) = self.serial {
            // It must be the first line, or what was said before is not heard.
            line(&mut text, 0, "SERIAL", &serial.text()?);
        }
        let default = self.entries.get(self.default).ok_or_else(|| {
            refused(format!("entry {} of {} is the default", self.default, self.entries.len()))
        })?;
        line(&mut text, 0, "DEFAULT", &default.label);
        if let Some(menu) = &self.menu {
            line(&mut text, 0, "UI", menu.module());
            line(&mut text, 0, "MENU TITLE", shown("the menu's title", &menu.title)?);
        }
        self.waiting(&mut text)?;
        let mut labels = HashSet::new();
        for entry in &self.entries {
            if !labels.insert(entry.label.to_ascii_lowercase()) {
                return Err(refused(format!("two entries have the label \"{}\"", entry.label)));
            }
            entry.write(&mut text).map_err(|error| {
                let message = format!("the entry \"{}\": {error}", entry.label.escape_default());
                Error::new(Kind::Document, message)
            })?;
        }
        Ok(text)
    }

    fn waiting(&self, text: &mut String) -> Result<(), Error> {
        let tenths = match (self.wait, &self.menu) {
            (Wait::Forever, _) | (Wait::No, None) => 0,
            (Wait::No, Some(_)) => 1,
            (Wait::Tenths(tenths), _) => tenths.get(),
        };
        if tenths > LONGEST_WAIT {
            let message =
                format!("{tenths} tenths of a second to wait, at most {LONGEST_WAIT} are possible");
            return Err(refused(message));
        }
        let asked = self.menu.is_none() && self.wait != Wait::No;
        line(text, 0, "PROMPT", if asked { "1" } else { "0" });
        // Without it there is no end.
        if tenths > 0 {
            line(text, 0, "TIMEOUT", &tenths.to_string());
        }
        Ok(())
    }

    /// The modules that are needed in the config's directory, beside those that these need.
    #[must_use]
    pub fn modules(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.menu.iter().map(Menu::module).collect();
        all.extend(self.entries.iter().filter_map(|entry| match &entry.boot {
            Boot::Linux { .. } => None,
            Boot::Multiboot { .. } => Some("mboot.c32"),
            Boot::Module { name, .. } => Some(name.as_str()),
        }));
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The files that must be on the volume, with the label of the entry that names them.
    pub fn files(&self) -> impl Iterator<Item = (&str, &TreePath)> {
        self.entries.iter().flat_map(|entry| {
            let all: Vec<_> = match &entry.boot {
                Boot::Linux { kernel, initrds, .. } => {
                    std::iter::once(kernel).chain(initrds).collect()
                }
                Boot::Multiboot { kernel, modules, .. } => {
                    std::iter::once(kernel).chain(modules.iter().map(|(path, _)| path)).collect()
                }
                Boot::Module { .. } => Vec::new(),
            };
            all.into_iter().map(|path| (entry.label.as_str(), path))
        })
    }
}

impl Menu {
    const fn module(&self) -> &'static str {
        if self.graphical { "vesamenu.c32" } else { "menu.c32" }
    }
}

impl Serial {
    fn text(self) -> Result<String, Error> {
        let Self { port, baud } = self;
        if !(75..=115_200).contains(&baud) || 115_200 % baud != 0 {
            return Err(refused(format!(
                "the serial port has {baud} baud; allowed is what divides 115200, from 75 on"
            )));
        }
        match port {
            0..=3 => Ok(format!("{port} {baud}")),
            0x100.. => Ok(format!("{port:#x} {baud}")),
            _ => Err(refused(format!(
                "the serial port is {port}; allowed are 0 to 3, and from 256 on an I/O address"
            ))),
        }
    }
}

impl Entry {
    fn write(&self, text: &mut String) -> Result<(), Error> {
        word("the label", &self.label)?;
        line(text, 0, "LABEL", &self.label);
        if let Some(title) = &self.title {
            line(text, 1, "MENU LABEL", shown("the title", title)?);
        }
        match &self.boot {
            Boot::Linux { kernel, initrds, append } => {
                let kernel = file(kernel)?;
                line(text, 1, "LINUX", &kernel);
                let initrds = initrds.iter().map(joined).collect::<Result<Vec<_>, _>>()?;
                let given = append.split(' ').any(|word| word.starts_with("initrd="));
                if given && !initrds.is_empty() {
                    let message = "initrd= in what the kernel is told, beside the entry's initrds";
                    return Err(refused(message.to_owned()));
                }
                let initrds = initrds.join(",");
                if !initrds.is_empty() {
                    line(text, 1, "INITRD", &initrds);
                }
                // What syslinux makes of it.
                let told = format!("BOOT_IMAGE={kernel} {append} initrd={initrds}").len();
                if told > LONGEST_LINE {
                    let message = format!(
                        "its kernel is told {told} bytes with the paths of kernel and initrds, at most \
                         {LONGEST_LINE}"
                    );
                    return Err(refused(message));
                }
                self::append(text, append)?;
            }
            Boot::Multiboot { kernel, arguments, modules } => {
                line(text, 1, "COM32", "mboot.c32");
                let mut all = part(kernel, arguments)?;
                for (path, arguments) in modules {
                    let _ = write!(all, " --- {}", part(path, arguments)?);
                }
                append(text, &all)?;
            }
            Boot::Module { name, arguments } => {
                word("the module's name", name)?;
                line(text, 1, "COM32", name);
                append(text, arguments)?;
            }
        }
        Ok(())
    }
}

fn line(text: &mut String, depth: usize, keyword: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:depth$}{keyword} {value}", "", depth = depth * 2);
}

/// What a kernel or a module is told: nothing, or a line of its own.
fn append(text: &mut String, value: &str) -> Result<(), Error> {
    if value.is_empty() {
        return Ok(());
    }
    printable("what it is told", value)?;
    if value == "-" {
        return Err(refused("it is told \"-\", which means nothing in a config".to_owned()));
    }
    if value.trim() != value || value.contains("  ") {
        let message = format!("spaces that a config does not keep in \"{value}\"");
        return Err(refused(message));
    }
    if value.len() > LONGEST_LINE {
        let message = format!("it is told {} bytes, at most {LONGEST_LINE}", value.len());
        return Err(refused(message));
    }
    line(text, 1, "APPEND", value);
    Ok(())
}

/// A file of Multiboot and what it is told.
fn part(path: &TreePath, arguments: &str) -> Result<String, Error> {
    if arguments.split(' ').any(|word| word == "---") {
        let message = "\"---\" in what it is told, which begins the next module";
        return Err(refused(message.to_owned()));
    }
    let path = file(path)?;
    Ok(if arguments.is_empty() { path } else { format!("{path} {arguments}") })
}

/// One of several initrds.
fn joined(path: &TreePath) -> Result<String, Error> {
    let path = file(path)?;
    if path.contains(',') {
        let message = format!("a comma in {path}, which begins the next initrd");
        return Err(refused(message));
    }
    Ok(path)
}

/// A path as a config has it.
fn file(path: &TreePath) -> Result<String, Error> {
    let mut bytes = Vec::new();
    for name in path.names() {
        bytes.push(b'/');
        bytes.extend(name.as_bytes());
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| refused(format!("the path {path} is no UTF-8, which a config cannot name")))?;
    word("the path", &text)?;
    if text.len() > LONGEST_PATH {
        let message = format!("the path {path} has {} bytes, at most {LONGEST_PATH}", text.len());
        return Err(refused(message));
    }
    Ok(text)
}

/// What a menu shows: a caret would mark a key.
fn shown<'a>(what: &str, text: &'a str) -> Result<&'a str, Error> {
    printable(what, text)?;
    let plain = !text.is_empty() && text.trim() == text && !text.contains('^');
    if !plain || text.len() > LONGEST_PATH {
        return Err(refused(format!(
            "{what} is \"{text}\"; allowed are 1 to {LONGEST_PATH} characters without ^ and without \
             spaces at the ends"
        )));
    }
    Ok(text)
}

fn word(what: &str, text: &str) -> Result<(), Error> {
    printable(what, text)?;
    if text.is_empty() || text.contains(' ') {
        return Err(refused(format!("{what} is \"{text}\"; allowed is one word without a space")));
    }
    if text.len() > LONGEST_PATH {
        let message = format!("{what} has {} bytes, at most {LONGEST_PATH}", text.len());
        return Err(refused(message));
    }
    Ok(())
}

fn printable(what: &str, text: &str) -> Result<(), Error> {
    match text.chars().find(|c| !matches!(c, ' '..='~')) {
        None => Ok(()),
        Some(c) => {
            Err(refused(format!("{what} holds {c:?}; allowed are printable ASCII characters")))
        }
    }
}

fn refused(message: String) -> Error {
    Error::new(Kind::Document, format!("syslinux: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    fn entry(label: &str, boot: Boot) -> Entry {
        Entry { label: label.to_owned(), title: None, boot }
    }

    fn linux(append: &str) -> Boot {
        let initrds = vec![path("/early"), path("/initrd")];
        Boot::Linux { kernel: path("/vmlinuz"), initrds, append: append.to_owned() }
    }

    fn config(entries: Vec<Entry>) -> Config {
        Config { serial: None, wait: Wait::No, menu: None, default: 0, entries }
    }

    #[test]
    fn everything_is_said_as_the_documentation_has_it() {
        let modules = vec![(path("/a"), "one two".to_owned()), (path("/b"), String::new())];
        let kernel = path("/kernel");
        let mut all = config(vec![
            entry("linux", linux("console=ttyS0 quiet")),
            entry("mb", Boot::Multiboot { kernel, arguments: "-v".to_owned(), modules }),
            entry("off", Boot::Module { name: "poweroff.c32".into(), arguments: String::new() }),
        ]);
        all.serial = Some(Serial { port: 0, baud: 115_200 });
        all.wait = Wait::Tenths(NonZeroU16::new(50).unwrap());
        all.menu = Some(Menu { title: "Choose one".to_owned(), graphical: false });
        all.default = 1;
        all.entries[0].title = Some("Debian GNU/Linux".to_owned());
        let text = "SERIAL 0 115200\nDEFAULT mb\nUI menu.c32\nMENU TITLE Choose one\nPROMPT 0\n\
            TIMEOUT 50\nLABEL linux\n  MENU LABEL Debian GNU/Linux\n  LINUX /vmlinuz\n  INITRD \
            /early,/initrd\n  APPEND console=ttyS0 quiet\nLABEL mb\n  COM32 mboot.c32\n  APPEND \
            /kernel -v --- /a one two --- /b\nLABEL off\n  COM32 poweroff.c32\n";
        assert_eq!(all.text().unwrap(), text);
        assert_eq!(all.modules(), ["mboot.c32", "menu.c32", "poweroff.c32"]);
        let files: Vec<_> = all.files().map(|(label, path)| format!("{label} {path}")).collect();
        let wanted =
            ["linux /vmlinuz", "linux /early", "linux /initrd", "mb /kernel", "mb /a", "mb /b"];
        assert_eq!(files, wanted);
    }

    #[test]
    fn waiting_is_a_prompt_or_a_menu() {
        let mut some = config(vec![entry("a", linux(""))]);
        let menu = Menu { title: "A".to_owned(), graphical: true };
        let tenths = Wait::Tenths(NonZeroU16::new(7).unwrap());
        for (wait, alone, with) in [
            (Wait::No, "PROMPT 0\nLABEL", "PROMPT 0\nTIMEOUT 1\nLABEL"),
            (tenths, "PROMPT 1\nTIMEOUT 7\nLABEL", "PROMPT 0\nTIMEOUT 7\nLABEL"),
            (Wait::Forever, "PROMPT 1\nLABEL", "PROMPT 0\nLABEL"),
        ] {
            some.wait = wait;
            some.menu = None;
            assert!(some.text().unwrap().contains(alone), "{}", some.text().unwrap());
            some.menu = Some(menu.clone());
            let text = some.text().unwrap();
            assert!(text.contains(with) && text.contains("UI vesamenu.c32\n"), "{text}");
        }
    }

    #[test]
    fn what_a_config_would_read_differently_is_refused() {
        let mb = |kernel: &str, arguments: &str| Boot::Multiboot {
            kernel: path(kernel),
            arguments: arguments.to_owned(),
            modules: Vec::new(),
        };
        let one = |path: &str| Boot::Linux {
            kernel: self::path(path),
            initrds: vec![self::path("/i,j")],
            append: String::new(),
        };
        for (entries, why) in [
            (vec![], "entry 0 of 0"),
            (vec![entry("a b", linux(""))], "\"a b\"; allowed is one word"),
            (vec![entry("", linux(""))], "allowed is one word"),
            (vec![entry("ä", linux(""))], "holds 'ä'"),
            (vec![entry("a", linux("")), entry("A", linux(""))], "two entries"),
            (vec![entry("a", linux("x\ny"))], "holds '\\n'"),
            (vec![entry("a", linux("-"))], "means nothing"),
            (vec![entry("a", linux(" x"))], "spaces"),
            (vec![entry("a", linux("x  y"))], "spaces"),
            (vec![entry("a", linux("x initrd=/b"))], "beside the entry's initrds"),
            (vec![entry("a", linux(&"x".repeat(2048)))], "told 2090 bytes with"),
            (vec![entry("a", mb("/k", "x --- y"))], "begins the next module"),
            (vec![entry("a", mb("/a b", ""))], "\"/a b\"; allowed is one word"),
            (vec![entry("a", one("/k"))], "a comma in /i,j"),
            (vec![entry("a", mb(&"/x".repeat(128), ""))], "256 bytes, at most 255"),
        ] {
            let error = config(entries).text().unwrap_err();
            assert_eq!(error.kind(), Kind::Document);
            assert!(error.to_string().contains(why), "{error}");
        }
        let mut titled = config(vec![entry("a", linux(""))]);
        titled.entries[0].title = Some("^A".to_owned());
        assert!(titled.text().unwrap_err().to_string().contains("without ^"));
        for (port, baud, why) in
            [(4, 9600, "port is 4"), (0, 50, "50 baud"), (0, 9601, "9601 baud")]
        {
            let error = Serial { port, baud }.text().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(Serial { port: 0x3f8, baud: 9600 }.text().unwrap(), "0x3f8 9600");
    }
}
