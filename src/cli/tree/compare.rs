//! Two trees compared: what only one has, and how what both have differs.
//!
//! Prints nothing. Invariant: differences come in the order of the paths' bytes, the same for every
//! pair of filesystems.

use std::cmp::Ordering;
use std::iter::Peekable;

use serde_json::{Map, Value, json};

use super::args::Aspect;
use super::cat::content;
use super::entry::{encoded, shown, time, word};
use super::ls::raw;
use crate::cli::interrupt::Interrupt;
use crate::engine::base::tree::{Kind, Node, NodeId, Time, Tree, TreePath, Walk};
use crate::engine::base::{Error, SectorSource, digest};

/// Bytes compared at once.
const BATCH: u64 = 1 << 20;

/// What is compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// When files were changed, to the second.
    pub(super) times: bool,
    /// What does not count.
    pub(super) ignore: Vec<Aspect>,
}

impl Rules {
    fn counts(&self, aspect: Aspect) -> bool {
        !self.ignore.contains(&aspect)
    }
}

/// One difference.
#[derive(Clone, Debug)]
pub(super) enum Difference {
    /// Only the first has it.
    Missing(TreePath),
    /// Only the second has it.
    Added(TreePath),
    /// Both have it, and these fields differ.
    Changed(TreePath, Vec<Field>),
}

/// A field with its two values.
#[derive(Clone, Debug)]
pub(super) struct Field {
    name: &'static str,
    a: Value,
    b: Value,
}

impl Difference {
    pub(super) fn line(&self) -> String {
        match self {
            Self::Missing(path) => format!("- {}", shown(&raw(path))),
            Self::Added(path) => format!("+ {}", shown(&raw(path))),
            Self::Changed(path, fields) => {
                let text = |value: &Value| {
                    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
                };
                let fields: Vec<_> = fields
                    .iter()
                    .map(|f| format!("{} {} -> {}", f.name, text(&f.a), text(&f.b)))
                    .collect();
                format!("~ {}: {}", shown(&raw(path)), fields.join(", "))
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Missing(path) => json!({"path": shown(&raw(path)), "change": "onlyA"}),
            Self::Added(path) => json!({"path": shown(&raw(path)), "change": "onlyB"}),
            Self::Changed(path, fields) => {
                let fields: Map<_, _> = fields
                    .iter()
                    .map(|f| (f.name.to_owned(), json!({"a": f.a, "b": f.b})))
                    .collect();
                json!({"path": shown(&raw(path)), "change": "changed", "fields": fields})
            }
        }
    }
}

/// Compares two trees from their roots.
pub(super) fn trees(
    a: &Tree,
    b: &Tree,
    rules: &Rules,
    interrupt: &Interrupt,
) -> Result<Vec<Difference>, Error> {
    let (mut left, mut right) = (a.walk().peekable(), b.walk().peekable());
    let mut found = Vec::new();
    loop {
        interrupt.check()?;
        match ordered(&mut left, &mut right) {
            None => return Ok(found),
            Some(Ordering::Less) => {
                found.extend(left.next().map(|step| Difference::Missing(step.path)));
            }
            Some(Ordering::Greater) => {
                found.extend(right.next().map(|step| Difference::Added(step.path)));
            }
            Some(Ordering::Equal) => {
                let (Some(one), Some(other)) = (left.next(), right.next()) else { continue };
                let fields =
                    nodes((a, one.node), (b, other.node), rules, interrupt).map_err(|e| {
                        Error::new(e.kind(), format!("{}: {e}", shown(&raw(&one.path))))
                    })?;
                if !fields.is_empty() {
                    found.push(Difference::Changed(one.path, fields));
                }
            }
        }
    }
}

/// Which of the two comes first; none at the end of both.
fn ordered(a: &mut Peekable<Walk<'_>>, b: &mut Peekable<Walk<'_>>) -> Option<Ordering> {
    match (a.peek(), b.peek()) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        // A walk goes in the order of its paths, name by name.
        (Some(a), Some(b)) => Some(a.path.cmp(&b.path)),
    }
}

/// How two nodes differ.
pub(super) fn nodes(
    (a, one): (&Tree, NodeId),
    (b, other): (&Tree, NodeId),
    rules: &Rules,
    interrupt: &Interrupt,
) -> Result<Vec<Field>, Error> {
    let (a, b) = (a.node(one), b.node(other));
    let mut fields = Vec::new();
    let mut put = |name, a: Value, b: Value| {
        if a != b {
            fields.push(Field { name, a, b });
        }
    };
    put("type", word(&a.kind).into(), word(&b.kind).into());
    let link = matches!(a.kind, Kind::Symlink(_));
    // A link's own mode means nothing, and filesystems store what they like.
    if rules.counts(Aspect::Mode) && !link {
        put("mode", octal(a), octal(b));
    }
    if rules.counts(Aspect::Owner) {
        put("uid", a.meta.uid.into(), b.meta.uid.into());
        put("gid", a.meta.gid.into(), b.meta.gid.into());
    }
    if rules.times {
        let second = |node: &Node| time(Time { nanos: 0, ..node.meta.modified });
        put("modified", second(a).into(), second(b).into());
    }
    if rules.counts(Aspect::Links) {
        put("links", a.names().into(), b.names().into());
    }
    if rules.counts(Aspect::Attributes) {
        let all = |node: &Node| node.attributes.as_deref().map(encoded).unwrap_or(json!({}));
        put("attributes", all(a), all(b));
    }
    put("target", target(a), target(b));
    put("device", device(a), device(b));
    let (Kind::File(_), Kind::File(_)) = (&a.kind, &b.kind) else { return Ok(fields) };
    if rules.counts(Aspect::Content) {
        put("size", a.len().into(), b.len().into());
        let (a, b) = (content(a)?, content(b)?);
        if a.len() != b.len() || !same(&*a, &*b, interrupt)? {
            put("content", digest(&*a, interrupt)?.into(), digest(&*b, interrupt)?.into());
        }
    }
    Ok(fields)
}

fn octal(node: &Node) -> Value {
    format!("{:04o}", node.meta.mode).into()
}

fn target(node: &Node) -> Value {
    match &node.kind {
        Kind::Symlink(target) => shown(target).into(),
        _ => Value::Null,
    }
}

fn device(node: &Node) -> Value {
    match &node.kind {
        Kind::CharDevice(device) | Kind::BlockDevice(device) => {
            format!("{}:{}", device.major, device.minor).into()
        }
        _ => Value::Null,
    }
}

/// Whether two sources of one length have the same bytes. What is a hole in both is not read.
fn same(a: &dyn SectorSource, b: &dyn SectorSource, interrupt: &Interrupt) -> Result<bool, Error> {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < a.len() {
        interrupt.check()?;
        let next = |source: &dyn SectorSource| source.next_extent(at).map(|extent| extent.start());
        let start = [next(a), next(b)].into_iter().flatten().min();
        let Some(start) = start.map(|start| start.max(at)).filter(|start| *start < a.len()) else {
            return Ok(true);
        };
        let len = (a.len() - start).min(BATCH) as usize;
        one.resize(len, 0);
        other.resize(len, 0);
        a.read_at(start, &mut one)?;
        b.read_at(start, &mut other)?;
        if one != other {
            return Ok(false);
        }
        at = start + len as u64;
    }
    Ok(true)
}
