//! The rules of the disk and its partitions.
//!
//! Invariant: as of `rules`.

use serde_json::{Value, json};

use super::super::partition_types::{ATTRIBUTES, LINUX_ROOT, NAMES, NO_BYTE};
use super::message;

/// The rules of the disk. Quantities of 1 Pi and more have no integer in CEL, so sectors are
/// counted in the text: with a suffix it is a multiple of 1024.
pub(in super::super) fn disk() -> Value {
    // Not `has(…) ? … : []`, whose length the API server does not know.
    let partitions = "!has(self.partitions) || self.partitions";
    let table =
        |name: &str| format!("(!has(self.partitionTable) || self.partitionTable != '{name}')");
    let (none, mbr, gpt) = (
        "(has(self.partitionTable) && self.partitionTable != 'None')".to_owned(),
        table("MBR"),
        table("GPT"),
    );
    let only_gpt = NO_BYTE.join("', '");
    let rules = json!([
        {"rule": format!("{none} || {partitions}.size() <= 1"), "message": message::NO_TABLE},
        {
            "rule": format!("{none} || (!has(self.diskId) && (!has(self.hybrid) || size(self.hybrid) == 0) && ({partitions}.all(p, !has(p.type) && !has(p.size) && !has(p.id) && !has(p.attributes) && !(has(p.grow) && p.grow) && !(has(p.logical) && p.logical))))"),
            "message": message::NO_TABLE_FIELDS,
        },
        {
            "rule": format!("!has(self.diskId) || !{none} || self.diskId.startsWith('0x') == (self.partitionTable == 'MBR')"),
            "message": message::DISK_ID,
        },
        {
            "rule": format!("!has(self.hybrid) || size(self.hybrid) == 0 || !{none} || (self.partitionTable == 'GPT' && has(self.partitions) && self.hybrid.all(h, self.partitions.exists(p, p.name == h)))"),
            "message": message::HYBRID,
        },
        {
            "rule": format!("{mbr} || {partitions}.all(p, !has(p.id) && (!has(p.type) || !(p.type.contains('-') || p.type in ['{only_gpt}'])) && (!has(p.attributes) || p.attributes.all(a, a in ['active', 'hidden'])))"),
            "message": message::MBR_FIELDS,
        },
        {
            "rule": format!("{gpt} || {partitions}.all(p, !(has(p.logical) && p.logical) && (!has(p.type) || !p.type.startsWith('0x')) && (!has(p.attributes) || !('active' in p.attributes)))"),
            "message": message::GPT_FIELDS,
        },
        {
            "rule": format!("{mbr} || {partitions}.filter(p, !(has(p.logical) && p.logical)).size() + (self.partitions.exists(p, has(p.logical) && p.logical) ? 1 : 0) <= 4"),
            "message": message::MBR_COUNT,
        },
        {
            "rule": format!("{mbr} || {partitions}.filter(p, has(p.attributes) && 'active' in p.attributes).size() <= 1"),
            "message": message::ONE_ACTIVE,
        },
        {"rule": format!("{partitions}.filter(p, has(p.grow) && p.grow).size() <= 1"), "message": message::ONE_GROW},
        {
            "rule": format!("!has(self.partitions) || !self.partitions.exists(p, has(p.grow) && p.grow) || has(self.size) || (has(self.headroom) && (has(self.headroom.size) || has(self.headroom.percent)))"),
            "message": message::GROW_SIZE,
        },
        {
            "rule": format!("{partitions}.all(p, !has(p.mountPath) || self.partitions.exists_one(q, has(q.mountPath) && q.mountPath == p.mountPath))"),
            "message": message::MOUNT_PATHS,
        },
        scripts(),
    ]);
    let rules = rules.as_array().cloned().unwrap_or_default();
    Value::Array(sizes(partitions).into_iter().chain(rules).collect())
}

/// The rules of sizes.
fn sizes(partitions: &str) -> Vec<Value> {
    let sector = "(has(self.sectorSize) ? self.sectorSize : 512)";
    let alignment = "quantity(string(self.alignment))";
    vec![
        json!({
            "rule": format!("!has(self.size) || {}", whole_sectors("self.size")),
            "message": message::SECTORS,
        }),
        json!({
            "rule": "!has(self.size) || quantity(string(self.size)).compareTo(quantity('9223372035781033984')) <= 0",
            "message": message::LARGEST,
        }),
        json!({"rule": "!has(self.sectorSize) || self.sectorSize in [512, 4096]", "message": message::SECTOR_SIZE}),
        json!({
            "rule": format!("!has(self.sectorSize) || self.sectorSize != 4096 || ((!has(self.size) || {}) && ({partitions}.all(p, !has(p.size) || {})))", large("self.size"), large("p.size")),
            "message": message::LARGE_SECTORS,
        }),
        json!({
            "rule": format!("!has(self.alignment) || ({alignment}.isInteger() && {alignment}.asInteger() > 0 && {alignment}.asInteger() <= 1073741824 && {alignment}.asInteger() % {sector} == 0)"),
            "message": message::ALIGNMENT,
        }),
    ]
}

/// Every script has a partition whose tree it changes.
fn scripts() -> Value {
    json!({
        "rule": format!("!has(self.scripts) || (has(self.partitions) && self.scripts.all(s, has(s.partition) ? self.partitions.exists(p, p.name == s.partition && {TREE}) : (self.partitions.exists(p, has(p.mountPath) && p.mountPath == '/' && {TREE}) || self.partitions.exists_one(p, {TREE}))))"),
        "message": message::SCRIPT_PARTITION,
    })
}

/// The partition p has a tree.
const TREE: &str = "has(p.filesystem) && p.filesystem.type != 'swap'";

/// The size is whole sectors, at least one.
fn whole_sectors(size: &str) -> String {
    format!(
        "(type({size}) == int ? {size} > 0 && {size} % 512 == 0 : {size}.matches('^[0-9]+$') ? int({size}) > 0 && int({size}) % 512 == 0 : !{size}.matches('^0+[KMGTPE]i$'))"
    )
}

/// The size is whole sectors of 4096 bytes. What has no integer has a large suffix.
fn large(size: &str) -> String {
    let quantity = format!("quantity(string({size}))");
    format!("(!{quantity}.isInteger() || {quantity}.asInteger() % 4096 == 0)")
}

/// The rules of a partition.
pub(in super::super) fn partition() -> Value {
    let names: Vec<&str> = NAMES.iter().map(|known| known.name).chain([LINUX_ROOT]).collect();
    let names = names.join("', '");
    let attributes: Vec<&str> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
    let attributes = attributes.join("', '");
    json!([
        {"rule": "!(has(self.filesystem) && has(self.source))", "message": message::PARTITION_MEMBER},
        {
            "rule": "!(has(self.mountPath) || (has(self.contents) && size(self.contents) > 0)) || (has(self.filesystem) && self.filesystem.type != 'swap')",
            "message": message::CONTENTS,
        },
        {
            "rule": format!("!has(self.size) || {}", whole_sectors("self.size")),
            "message": message::PARTITION_SECTORS,
        },
        {
            "rule": format!("!has(self.type) || self.type.contains('-') || self.type.startsWith('0x') || self.type in ['{names}']"),
            "message": message::PARTITION_TYPE,
        },
        {
            "rule": format!("!has(self.attributes) || self.attributes.all(a, a in ['{attributes}'] || (a.matches('^[0-9]+$') && int(a) <= 63))"),
            "message": message::ATTRIBUTE,
        },
    ])
}
