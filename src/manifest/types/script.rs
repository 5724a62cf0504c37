//! Scripts: programs of the user that change a partition's tree before it becomes a filesystem.
//!
//! Decides nothing. Invariant: a script's program is pinned by a digest, wherever it comes from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;
use super::scalar::Path;

/// A script. It runs as user 107 without privileges and without a network, with the tree of a
/// partition in `/tree`, where it begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Script {
    /// The container image that it runs in, pinned: `registry.example/name@sha256:…`.
    #[schemars(length(max = 512), regex(pattern = r"^[^ @]+@sha256:[0-9a-f]{64}$"))]
    pub image: String,
    /// What the shell is given.
    #[schemars(length(min = 1, max = 65_536))]
    pub text: String,
    /// The image's program that runs it, as `SHELL -c TEXT`.
    #[serde(default = "shell", skip_serializing_if = "is_shell")]
    #[schemars(extend("default" = "/bin/sh"))]
    pub shell: Path,
    /// The partition whose tree it changes. Omitted: the one that is mounted at /, or the only one
    /// that has a tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub partition: Option<String>,
    /// Variables of its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    pub env: BTreeMap<String, String>,
    /// Seconds that it may run.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 600))]
    pub timeout_seconds: ScriptSeconds,
}

/// Seconds that a script may run, 1 to 86400; 600 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("minimum" = 1, "maximum" = 86_400, "format" = "int32"))]
#[serde(transparent)]
pub struct ScriptSeconds(pub u32);

impl Default for ScriptSeconds {
    fn default() -> Self {
        Self(600)
    }
}

fn shell() -> Path {
    Path::new("/bin/sh")
}

fn is_shell(path: &Path) -> bool {
    *path == shell()
}
