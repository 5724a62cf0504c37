//! Which modules of GRUB need which, by its list `moddep.lst`.
//!
//! Reads no modules. Invariant: each name comes once, after all names that it needs; the order is
//! that of grub-mkimage, so that images can be compared with its.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::base::{Error, Kind};

/// More names than this are no list of GRUB, which has about 300.
const MOST: usize = 4096;

/// `names` and all that they need, in the order in which GRUB must load them. `moddep` is the text
/// of `moddep.lst`: a line `NAME: NEEDED NEEDED` for each module.
pub fn closure<S: AsRef<str>>(names: &[S], moddep: &str) -> Result<Vec<String>, Error> {
    let needs = parse(moddep)?;
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for name in names {
        visit(name.as_ref(), &needs, &mut seen, &mut order)?;
    }
    Ok(order)
}

fn parse(moddep: &str) -> Result<BTreeMap<&str, Vec<&str>>, Error> {
    let mut needs = BTreeMap::new();
    for (number, line) in moddep.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let Some((name, rest)) = line.split_once(':') else {
            let message =
                format!("moddep.lst, line {}: {line:?} is no NAME: NEEDED ...", number + 1);
            return Err(Error::new(Kind::Input, message));
        };
        needs.insert(name.trim(), rest.split_whitespace().collect());
    }
    if needs.len() > MOST {
        let message = format!("moddep.lst names {} modules; at most {MOST}", needs.len());
        return Err(Error::new(Kind::Input, message));
    }
    Ok(needs)
}

/// Depth first without recursion: a hostile list may be deep. grub-mkimage goes through what a
/// module needs from the last to the first, and takes a module as seen before what it needs.
fn visit<'a>(
    name: &'a str,
    needs: &BTreeMap<&'a str, Vec<&'a str>>,
    seen: &mut BTreeSet<&'a str>,
    order: &mut Vec<String>,
) -> Result<(), Error> {
    // A module, and how many of those that it needs are still to be gone through.
    let mut open: Vec<(&str, usize)> = Vec::new();
    let mut enter = |name: &'a str, by: Option<&str>| -> Result<Option<(&'a str, usize)>, Error> {
        if !seen.insert(name) {
            return Ok(None);
        }
        let count = needs.get(name).map(Vec::len).ok_or_else(|| missing(name, by))?;
        Ok(Some((name, count)))
    };
    open.extend(enter(name, None)?);
    while let Some((module, left)) = open.last_mut() {
        let module = *module;
        let next = left.checked_sub(1).and_then(|left| needs.get(module)?.get(left));
        if let Some(next) = next {
            *left -= 1;
            open.extend(enter(next, Some(module))?);
        } else {
            order.push(module.to_owned());
            open.pop();
        }
    }
    Ok(())
}

fn missing(name: &str, by: Option<&str>) -> Error {
    let why = by.map(|by| format!(", which {by} needs")).unwrap_or_default();
    let message = format!("GRUB has no module {name:?}{why}: it is not in moddep.lst");
    Error::new(Kind::Document, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "ext2: fshelp\nfshelp:\nnormal: extcmd verifiers crypto\nextcmd:\n\
                        verifiers:\ncrypto: extcmd\nring: loop\nloop: ring\nlost: gone\n";

    #[test]
    fn what_is_needed_comes_before_and_from_the_last_to_the_first() {
        assert_eq!(closure(&["ext2"], LIST).unwrap(), ["fshelp", "ext2"]);
        let order = closure(&["normal", "ext2", "crypto"], LIST).unwrap();
        assert_eq!(order, ["extcmd", "crypto", "verifiers", "normal", "fshelp", "ext2"]);
    }

    #[test]
    fn rings_end() {
        assert_eq!(closure(&["ring"], LIST).unwrap(), ["loop", "ring"]);
    }

    #[test]
    fn what_is_missing_is_named_with_what_needs_it() {
        let error = closure(&["lost"], LIST).unwrap_err().to_string();
        assert!(error.contains("\"gone\", which lost needs"), "{error}");
        assert!(closure(&["nil"], LIST).unwrap_err().to_string().contains("\"nil\": it is not"));
        assert!(closure(&["a"], "a b\n").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn a_deep_list_needs_no_deep_stack() {
        let list: String = (0..4000).map(|n| format!("m{n}: m{}\n", n + 1)).collect();
        let order = closure(&["m0"], &format!("{list}m4000:\n")).unwrap();
        assert_eq!((order.len(), order[0].as_str()), (4001, "m4000"));
    }
}
