//! How the build pod runs: deadline, attempts, resources and where it is scheduled.
//!
//! Decides nothing. Invariant: nothing here changes the image, so nothing here is hashed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::quantity::Quantity;
use super::super::rules;
use super::is_default;
use crate::manifest::Size;
use crate::units::ByteSize;

/// How the build pod runs. Nothing here changes the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Build {
    /// Seconds that one attempt may run, counted from its acceptance by a node.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 3600))]
    pub timeout_seconds: TimeoutSeconds,

    /// How often a build that failed for a passing reason is tried.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 3))]
    pub max_attempts: MaxAttempts,

    /// Requests and limits of the build container. What is omitted has the operator's default.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub resources: Resources,

    /// Room for temporary files: what is fetched, and what has to be computed whole before it is
    /// written.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub scratch: Scratch,

    /// The ServiceAccount of the build pod; no token of it is mounted. Omitted: the operator's
    /// default, else the namespace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,

    /// Secrets in this namespace with which the builder's image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub image_pull_secrets: Vec<LocalReference>,

    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,

    /// The PriorityClass of the build pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,

    /// The RuntimeClass of the build pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
}

/// Room for temporary files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Scratch {
    /// The size of the pod's temporary directory, which counts as ephemeral storage of its node.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "1Gi"))]
    pub size_limit: ScratchSize,
}

/// A size; 1Gi by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(transparent)]
pub struct ScratchSize(pub Size);

impl Default for ScratchSize {
    fn default() -> Self {
        Self(Size(ByteSize::mib(1024)))
    }
}

/// Seconds, 10 to 86400; 3600 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("minimum" = 10, "maximum" = 86_400, "format" = "int64"))]
#[serde(transparent)]
pub struct TimeoutSeconds(pub u32);

impl Default for TimeoutSeconds {
    fn default() -> Self {
        Self(3600)
    }
}

/// A number of attempts, 1 to 10; 3 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("minimum" = 1, "maximum" = 10, "format" = "int32"))]
#[serde(transparent)]
pub struct MaxAttempts(pub u32);

impl Default for MaxAttempts {
    fn default() -> Self {
        Self(3)
    }
}

/// Requests and limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Resources {
    /// What the node must have free, such as `cpu: 500m` and `memory: 128Mi`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Quantity>,

    /// What the container may use at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Quantity>,
}

/// An object in the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct LocalReference {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A toleration of a node's taint, as in a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::toleration()))]
pub struct Toleration {
    /// The taint's key. Omitted: every key (with operator `Exists`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 316))]
    pub key: Option<String>,
    /// `Exists` or `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// The taint's value, with operator `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// The taint's effect. Omitted: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// How long a `NoExecute` taint is tolerated. Omitted: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TolerationOperator {
    /// The key is there, with any value.
    Exists,
    /// The key has this value.
    Equal,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TaintEffect {
    /// No new pods.
    NoSchedule,
    /// New pods only if there is no other node.
    PreferNoSchedule,
    /// Running pods are evicted, too.
    NoExecute,
}
