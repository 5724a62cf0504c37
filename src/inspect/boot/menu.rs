//! Titles out of menu files. A file is a program for its loader; only what stands in it as plain text
//! is told.
//!
//! Runs nothing. Invariant: at most 256 KiB of a file are read and 64 titles kept.

use super::bytes::Bytes;
use super::found::Menu;

/// Bytes read.
const MOST: usize = 256 << 10;

/// Titles kept.
const TITLES: usize = 64;

/// Whose menu a file with this name (in lower case) is.
fn loader(directories: &[String], name: &str) -> Option<&'static str> {
    Some(match name {
        "grub.cfg" => "GRUB",
        "syslinux.cfg" | "extlinux.conf" | "isolinux.cfg" => "syslinux",
        "startup.nsh" => "EFI shell",
        "loader.conf" if directories.last().is_some_and(|last| last == "loader") => "systemd-boot",
        _ => {
            let entries = directories.last().is_some_and(|last| last == "entries");
            return (entries && name.ends_with(".conf")).then_some("systemd-boot");
        }
    })
}

/// The menu in `file`, if its name is that of one.
pub(super) fn look(directories: &[String], name: &str, file: Bytes<'_>) -> Option<Menu> {
    let loader = loader(directories, name)?;
    let bytes = file.some(0, MOST);
    let text = String::from_utf8_lossy(&bytes);
    let mut menu = Menu { loader, ..Menu::default() };
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        match loader {
            "GRUB" => grub(line, &mut menu),
            "syslinux" => syslinux(line, &mut menu),
            "EFI shell" => menu.entries.extend((!line.is_empty()).then(|| line.to_owned())),
            _ => systemd(line, &mut menu),
        }
        if menu.entries.len() >= TITLES {
            break;
        }
    }
    Some(menu)
}

fn grub(line: &str, menu: &mut Menu) {
    if let Some(rest) = line.strip_prefix("menuentry ").or_else(|| line.strip_prefix("submenu ")) {
        menu.entries.push(word(rest.trim_start()));
    }
    // The first value counts: later ones stand in conditions for the most part.
    if let Some(value) = line.strip_prefix("set default=") {
        menu.default.get_or_insert_with(|| word(value));
    }
    if let Some(value) = line.strip_prefix("set timeout=") {
        menu.timeout.get_or_insert_with(|| word(value));
    }
}

/// The first word, with its quotes taken off.
fn word(text: &str) -> String {
    let quote = text.chars().next().filter(|first| ['"', '\''].contains(first));
    match quote {
        Some(quote) => text.trim_start_matches(quote).split(quote).next(),
        None => text.split_whitespace().next(),
    }
    .unwrap_or_default()
    .to_owned()
}

/// Words before a value are not told apart by case.
fn value<'a>(line: &'a str, words: &str) -> Option<&'a str> {
    let (before, rest) = line.split_at_checked(words.len())?;
    (before.eq_ignore_ascii_case(words) && rest.starts_with([' ', '\t'])).then(|| rest.trim())
}

fn syslinux(line: &str, menu: &mut Menu) {
    if let Some(label) = value(line, "label") {
        menu.entries.push(label.to_owned());
    } else if let Some(title) = value(line, "menu label") {
        // It is the title of the label before it; ^ marks a key.
        if let Some(last) = menu.entries.last_mut() {
            *last = title.replace('^', "");
        }
    } else if let Some(default) = value(line, "default") {
        menu.default = Some(default.to_owned());
    } else if let Some(timeout) = value(line, "timeout") {
        menu.timeout = Some(timeout.to_owned());
    }
}

fn systemd(line: &str, menu: &mut Menu) {
    if let Some(title) = value(line, "title") {
        menu.entries.push(title.to_owned());
    } else if let Some(default) = value(line, "default") {
        menu.default = Some(default.to_owned());
    } else if let Some(timeout) = value(line, "timeout") {
        menu.timeout = Some(timeout.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    fn seen(directories: &[&str], name: &str, text: &str) -> Option<Menu> {
        let directories: Vec<_> = directories.iter().map(|one| (*one).to_owned()).collect();
        let file = ByteSource::new(text.as_bytes());
        look(&directories, name, Bytes(&file))
    }

    #[test]
    fn titles_are_read_as_the_loaders_read_them() {
        let grub = "set default=\"1\"\nif x; then\n set timeout=5\nfi\nmenuentry 'A \"b\" c' --id a {\n\
                    \tlinux /k\n}\n# menuentry no {}\nsubmenu \"More\" {\n menuentry plain {\n }\n}\n";
        let menu = seen(&["boot", "grub"], "grub.cfg", grub).unwrap();
        assert_eq!(menu.entries, ["A \"b\" c", "More", "plain"]);
        assert_eq!((menu.default.as_deref(), menu.timeout.as_deref()), (Some("1"), Some("5")));

        let syslinux = "DEFAULT one\nTimeout 50\nLABEL one\n  MENU LABEL ^One\n KERNEL k\nlabel two\n\
                        labels no\n";
        let menu = seen(&[], "syslinux.cfg", syslinux).unwrap();
        assert_eq!(menu.entries, ["One", "two"]);
        assert_eq!((menu.default.as_deref(), menu.timeout.as_deref()), (Some("one"), Some("50")));

        let menu = seen(&["loader", "entries"], "a.conf", "title  Debian 12\nlinux /k\n").unwrap();
        assert_eq!((menu.loader, menu.entries), ("systemd-boot", vec!["Debian 12".to_owned()]));
        let menu = seen(&[], "startup.nsh", "vmlinuz initrd=\\i\n").unwrap();
        assert_eq!(menu.entries, ["vmlinuz initrd=\\i"]);
        assert_eq!(seen(&["etc"], "a.conf", "title x\n"), None);
        let long = "menuentry x {\n".repeat(1000);
        assert_eq!(seen(&[], "grub.cfg", &long).unwrap().entries.len(), TITLES);
    }
}
