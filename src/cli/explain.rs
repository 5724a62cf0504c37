//! `vmimage explain`: what a field of a document means.
//!
//! All it says comes from the schema, and so from the fields' doc comments. Invariant: a field
//! that a document may have can be explained.

use serde_json::Value;

use super::args::ExplainArgs;
use super::failure::{Failure, Failures};
use super::output::Output;
use super::schema;
use crate::manifest::{API_VERSION, KIND};
use crate::report::Code;

/// Lines of text are at most so long.
const WIDTH: usize = 80;

/// Runs the verb.
pub(super) fn run(args: &ExplainArgs, output: &Output) -> Result<(), Failures> {
    let ExplainArgs { field, recursive } = args;
    let document = schema::document();
    let (path, schema) = schema::find(&document, field.as_deref().unwrap_or_default())
        .map_err(|e| Failure::new(Code::InvalidDocument, e.to_string()))?;
    if output.is_json() {
        return Ok(output.json(schema)?);
    }
    Ok(output.line(text(&path, schema, *recursive).trim_end())?)
}

/// The whole text about the field at `path`.
fn text(path: &str, schema: &Value, recursive: bool) -> String {
    let mut out = format!("KIND:     {KIND}\nVERSION:  {API_VERSION}\n\n");
    if !path.is_empty() {
        out.push_str(&format!("FIELD: {path} <{}>\n\n", schema::type_of(schema)));
    }
    out.push_str("DESCRIPTION:\n");
    let allowed = schema::allowed(schema);
    for (at, line) in meanings(description(schema), &allowed).iter().enumerate() {
        wrap(&mut out, line, if at == 0 { 2 } else { 4 });
    }
    if let Some(default) = schema.get("default") {
        out.push_str(&format!("\nDEFAULT: {}\n", plain(default)));
    }
    if !allowed.is_empty() {
        out.push_str(&format!("\nALLOWED: {}\n", allowed.join(", ")));
    }
    let element = schema::element(schema);
    let mut limits = schema::bounds(schema);
    let mut rules = schema::rules(schema);
    if !std::ptr::eq(element, schema) {
        limits.extend(schema::bounds(element).into_iter().map(|limit| format!("each: {limit}")));
        rules.extend(schema::rules(element));
    }
    list(&mut out, "LIMITS", limits.iter().map(String::as_str));
    list(&mut out, "RULES", rules.into_iter());
    let fields = schema::fields(schema);
    if !fields.is_empty() {
        out.push_str("\nFIELDS:\n");
        if recursive {
            tree(&mut out, schema, 2);
        } else {
            overview(&mut out, schema);
        }
    }
    out
}

/// The fields with the first sentence of each.
fn overview(out: &mut String, schema: &Value) {
    for (name, field) in schema::fields(schema) {
        heading(out, schema, name, field, 2);
        let text = description(field);
        let first = text.find(". ").and_then(|end| text.get(..=end)).unwrap_or(text);
        wrap(out, first, 6);
    }
}

/// The fields and their fields, without descriptions.
fn tree(out: &mut String, schema: &Value, indent: usize) {
    for (name, field) in schema::fields(schema) {
        heading(out, schema, name, field, indent);
        tree(out, field, indent + 2);
    }
}

fn heading(out: &mut String, parent: &Value, name: &str, field: &Value, indent: usize) {
    let required = if schema::is_required(parent, name) { " -required-" } else { "" };
    let kind = schema::type_of(field);
    out.push_str(&format!("{:indent$}{name} <{kind}>{required}\n", ""));
}

fn list<'a>(out: &mut String, title: &str, items: impl Iterator<Item = &'a str>) {
    for (at, item) in items.enumerate() {
        if at == 0 {
            out.push_str(&format!("\n{title}:\n"));
        }
        let from = out.len() + 2;
        wrap(out, item, 4);
        out.replace_range(from..=from, "-");
    }
}

fn description(schema: &Value) -> &str {
    let text = schema.get("description").and_then(Value::as_str);
    text.unwrap_or("An entry; its name is free.")
}

/// A description, and apart from it the lines that say what each allowed value means.
fn meanings(text: &str, allowed: &[String]) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        let value = line.split_once(": ").map(|(value, _)| value);
        if value.is_some_and(|value| allowed.iter().any(|known| known == value)) {
            parts.push(line.to_owned());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

/// A value as documents write it: a string without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Adds `text` in lines that begin with `indent` spaces.
fn wrap(out: &mut String, text: &str, indent: usize) {
    for paragraph in text.split("\n\n") {
        let mut line = " ".repeat(indent);
        for word in paragraph.split_whitespace() {
            if line.len() > indent && line.len() + word.len() > WIDTH {
                out.push_str(line.trim_end());
                out.push('\n');
                line = " ".repeat(indent);
            }
            line.push_str(word);
            line.push(' ');
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
