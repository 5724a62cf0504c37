//! Inputs as documents name them: members of archives, compressed files, container images.
//!
//! Archives and images are made by other tools than ours. Invariant: what comes out is compared
//! with what those tools were given.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod desk;
mod images;
mod members;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/shell.rs"]
mod shell;

use std::path::Path;

use serde_json::{Value, json};
pub(crate) use shell::shell;
use vmimage::engine::Inputs;
use vmimage::engine::base::tree::Time;
use vmimage::engine::base::{Error, Scratch, Silent};
use vmimage::engine::bootloader::assets::Assets;
use vmimage::fetch::{Client, Guard, Proxies, Rules, Times};
use vmimage::manifest::{FieldPath, Spec};
use vmimage::sources::{Mounts, Sources};

/// Room for temporary files.
const ROOM: u64 = 64 << 20;

/// The sources of a desk whose files lie in `directory`.
pub(crate) fn sources(directory: &Path) -> Sources {
    let rules = Rules { everything: true, plain_http: true, ..Rules::default() };
    let client = Client::new(Guard::new(rules), Proxies::default(), Times::default(), &[]);
    Sources {
        assets: Assets::default(),
        mounts: Mounts::default(),
        files: Some(directory.to_owned()),
        client: client.unwrap(),
        scratch: Scratch::new(&std::env::temp_dir(), ROOM),
        docker_config: None,
    }
}

/// A document with these steps.
pub(crate) fn spec(contents: &Value) -> Spec {
    let partition = json!({"name": "root", "filesystem": {"type": "ext4"}, "contents": contents});
    serde_json::from_value(json!({"disk": {"partitions": [partition]}})).unwrap()
}

/// The field of the source of the only step.
pub(crate) fn field(member: &str) -> FieldPath {
    FieldPath::new(format!("spec.disk.partitions[0].contents[0].{member}.source"))
}

/// The bytes of one source, and its digest.
pub(crate) fn resolve(sources: &Sources, source: &Value) -> Result<(Vec<u8>, String), Error> {
    let spec = spec(&json!([{"file": {"path": "/a", "source": source}}]));
    let inputs = Inputs::resolve_with(&spec, sources, Time::default(), &Silent)?;
    let input = inputs.get(&field("file")).unwrap();
    Ok((input.bytes()?, input.digest.clone()))
}

/// The digest of a file, by another program than ours.
pub(crate) fn sha256sum(directory: &Path, name: &str) -> String {
    format!("sha256:{}", &shell(directory, "coreutils", &format!("sha256sum {name}"))[..64])
}
