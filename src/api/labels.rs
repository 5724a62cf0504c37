//! Labels and annotations of the objects that the controller makes.
//!
//! Invariant: nothing of the image's own labels and annotations is ever copied to a child.

/// Label: who manages the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of `MANAGED_BY`, and the name under which server-side apply tracks our fields.
pub const MANAGER: &str = "vmimage-operator";
/// Label: the image's name.
pub const IMAGE: &str = "vmimage.dev/image";
/// Label: the target's name.
pub const TARGET: &str = "vmimage.dev/target";

/// Annotation on an image, of its user: a change looks at inputs without digest again.
pub const REBUILD: &str = "vmimage.dev/rebuild";
/// Label of a namespace that lets scripts of documents run.
pub const ALLOW_SCRIPTS: &str = "vmimage.dev/allow-scripts";

/// Annotation: UID of the image that the object was made for.
pub const OWNER_UID: &str = "vmimage.dev/owner-uid";
/// Annotation: targetHash, whole.
pub const TARGET_HASH: &str = "vmimage.dev/target-hash";
/// Annotation: contentHash, whole.
pub const CONTENT_HASH: &str = "vmimage.dev/content-hash";

/// Annotation on a volume, set last: the targetHash it holds completely.
pub const COMPLETE: &str = "vmimage.dev/complete";
/// Annotation on a complete volume: digest of the bytes in it.
pub const DIGEST: &str = "vmimage.dev/digest";
/// Annotation on a complete volume: number of the bytes in it.
pub const SIZE: &str = "vmimage.dev/size";
/// Annotation on a complete volume: digest of the raw content.
pub const CONTENT_DIGEST: &str = "vmimage.dev/content-digest";
/// Annotation on a complete volume: length of the raw content.
pub const VIRTUAL_SIZE: &str = "vmimage.dev/virtual-size";
/// Annotation on a complete volume: digest of the build manifest.
pub const MANIFEST_DIGEST: &str = "vmimage.dev/manifest-digest";

/// Annotation on a Job: the generation of the spec that asked for it. A newer generation may try
/// again what had failed for good.
pub const GENERATION: &str = "vmimage.dev/generation";
/// Annotation on a Job: hash of `spec.build`. A pod that never started is replaced when it changes.
pub const BUILD_HASH: &str = "vmimage.dev/build-hash";
/// Annotation on a complete volume: the attempt that filled it.
pub const ATTEMPT: &str = "vmimage.dev/attempt";

/// Annotation on a claim: the labels and annotations that its document gave it, as JSON.
pub const DRESS: &str = "vmimage.dev/dress";

/// Label: the instance type that KubeVirt takes for machines of this disk.
pub const DEFAULT_INSTANCETYPE: &str = "instancetype.kubevirt.io/default-instancetype";
/// Label: the preference that KubeVirt takes for machines of this disk.
pub const DEFAULT_PREFERENCE: &str = "instancetype.kubevirt.io/default-preference";

/// The label selector of everything that the controller makes.
#[must_use]
pub fn selector() -> String {
    format!("{MANAGED_BY}={MANAGER}")
}
