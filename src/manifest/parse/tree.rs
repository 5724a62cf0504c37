//! YAML events to trees whose every key and value knows its place in the text.
//!
//! Gives scalars no meaning (see `scalar`). Invariant: a tree is at most `MAX_DEPTH` deep and, with
//! all aliases written out, holds at most `MAX_NODES` nodes; no input makes this panic.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::{ErrorKind, ParseError, Place};

/// The longest text that is read.
pub const MAX_TEXT: usize = 1 << 20;
/// How deep lists and objects may be nested.
pub const MAX_DEPTH: usize = 64;
/// How many keys and values a document may hold with its aliases written out.
pub const MAX_NODES: usize = 100_000;

/// A value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it begins; none when it was given beside the text.
    pub(super) place: Option<Place>,
    pub(super) data: Data,
    nodes: usize,
    depth: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    Scalar(Scalar),
    List(Vec<Arc<Node>>),
    Object(Vec<(Key, Arc<Node>)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) place: Option<Place>,
    pub(super) scalar: Scalar,
}

#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Whether it stands without quotes.
    pub(super) plain: bool,
    /// A tag of the core schema, without `!!`.
    pub(super) tag: Option<&'static str>,
}

impl Node {
    pub(super) fn new(place: Option<Place>, data: Data) -> Self {
        let (mut nodes, mut depth) = (1usize, 0);
        let mut add = |node: &Self| {
            nodes = nodes.saturating_add(node.nodes);
            depth = depth.max(node.depth);
        };
        match &data {
            Data::Scalar(_) => {}
            Data::List(list) => list.iter().for_each(|node| add(node)),
            Data::Object(members) => members.iter().for_each(|(_, node)| add(node)),
        }
        if let Data::Object(members) = &data {
            nodes = nodes.saturating_add(members.len());
        }
        Self { place, data, nodes, depth: depth + 1 }
    }

    /// The member `name` of this object.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        let Data::Object(members) = &self.data else { return None };
        members.iter().find(|(key, _)| key.scalar.text == name).map(|(_, node)| node.as_ref())
    }

    /// The text of this scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    pub(super) fn within_limits(self) -> Result<Self, ParseError> {
        match self {
            Self { depth, place, .. } if depth > MAX_DEPTH => Err(ErrorKind::TooDeep.at(place)),
            Self { nodes, place, .. } if nodes > MAX_NODES => Err(ErrorKind::TooMany.at(place)),
            fine => Ok(fine),
        }
    }
}

/// The trees of all documents in `text`; documents with nothing in them are left out.
pub(super) fn read(text: &str) -> Result<Vec<Node>, ParseError> {
    if text.len() > MAX_TEXT {
        return Err(ErrorKind::TooLong { bytes: text.len() }.at(None));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        reader.take(event, place(span.start))?;
    }
    Ok(reader.documents)
}

fn syntax(error: &ScanError) -> ParseError {
    let kind = match error.info() {
        "recursion limit exceeded" => ErrorKind::TooDeep,
        reason => ErrorKind::Syntax { reason: reason.to_owned() },
    };
    kind.at(Some(place(*error.marker())))
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

#[derive(Default)]
struct Reader {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Arc<Node>>,
}

/// A list or object whose end has not been seen.
struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Arc<Node>>),
    Object { members: Vec<(Key, Arc<Node>)>, key: Option<Key>, known: BTreeMap<String, Place> },
}

impl Reader {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), ParseError> {
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let tag = core_tag(tag.as_deref(), place, &SCALAR_TAGS)?;
                let scalar = Scalar { text: text.into_owned(), plain, tag };
                self.value(Node::new(Some(place), Data::Scalar(scalar)), anchor, place)?;
            }
            Event::SequenceStart(anchor, tag) => {
                core_tag(tag.as_deref(), place, &["seq"])?;
                self.start(place, anchor, Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                core_tag(tag.as_deref(), place, &["map"])?;
                let known = BTreeMap::new();
                let content = Content::Object { members: Vec::new(), key: None, known };
                self.start(place, anchor, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| ErrorKind::Alias.at(Some(place)))?;
                self.put(node, place)?;
            }
            Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => {}
        }
        Ok(())
    }

    fn start(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), ParseError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(ErrorKind::TooDeep.at(Some(place)));
        }
        if let Some(Open { content: Content::Object { key: None, .. }, .. }) = self.open.last() {
            return Err(ErrorKind::KeyForm.at(Some(place)));
        }
        self.open.push(Open { place, anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), ParseError> {
        let Some(Open { place, anchor, content }) = self.open.pop() else { return Ok(()) };
        let data = match content {
            Content::List(list) => Data::List(list),
            Content::Object { members, .. } => Data::Object(members),
        };
        self.value(Node::new(Some(place), data), anchor, place)
    }

    /// A finished value, perhaps with a name for aliases.
    fn value(&mut self, node: Node, anchor: usize, place: Place) -> Result<(), ParseError> {
        let node = Arc::new(node.within_limits()?);
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        self.put(node, place)
    }

    /// Puts a value where the text has it: as key, member, element or document.
    fn put(&mut self, node: Arc<Node>, place: Place) -> Result<(), ParseError> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => {
                let empty = matches!(&node.data, Data::Scalar(s) if s.plain && s.text.is_empty());
                if !empty {
                    self.documents.push(Node::clone(&node));
                }
            }
            Some(Content::List(list)) => list.push(node),
            Some(Content::Object { members, key, known }) => match key.take() {
                Some(key) => members.push((key, node)),
                None => {
                    let Data::Scalar(scalar) = &node.data else {
                        return Err(ErrorKind::KeyForm.at(Some(place)));
                    };
                    if let Some(first) = known.insert(scalar.text.clone(), place) {
                        let key = scalar.text.clone();
                        return Err(ErrorKind::Duplicate { key, first }.at(Some(place)));
                    }
                    *key = Some(Key { place: Some(place), scalar: scalar.clone() });
                }
            },
        }
        Ok(())
    }
}

const SCALAR_TAGS: [&str; 5] = ["str", "int", "bool", "float", "null"];

/// The core schema's name of `tag` if it is one of `allowed`.
fn core_tag(
    tag: Option<&Tag>,
    place: Place,
    allowed: &[&'static str],
) -> Result<Option<&'static str>, ParseError> {
    let Some(tag) = tag else { return Ok(None) };
    let known = allowed.iter().find(|known| tag.is_yaml_core_schema() && tag.suffix == **known);
    match known {
        Some(known) => Ok(Some(known)),
        None => {
            let shown = if tag.is_yaml_core_schema() {
                format!("!!{}", tag.suffix)
            } else {
                tag.to_string()
            };
            Err(ErrorKind::Tag { tag: shown }.at(Some(place)))
        }
    }
}
