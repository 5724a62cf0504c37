//! Every reason that a target can have, and so a condition, an event and a metric: a closed set.
//! (A spec that is refused has one of `validate::Refusal`.)
//!
//! Invariant: reasons never carry names or numbers, so they can be metric labels.

/// Why an image is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reason {
    /// All targets hold the content.
    Published,
    /// Inputs without digest are looked at.
    Resolving,
    /// A build runs.
    Building,
    /// The build has ended, its result is being marked.
    Publishing,
    /// A failed build will be tried again.
    Retrying,
    /// `spec.suspend` is set.
    Suspended,
    /// The StorageClass does not exist.
    StorageClassMissing,
    /// An object that a source names is not there.
    SourceMissing,
    /// A ResourceQuota forbids the pod or the claim.
    QuotaExceeded,
    /// The namespace's Pod Security level forbids the pod.
    PodSecurityDenied,
    /// The pod is not created for another reason.
    PodNotCreated,
    /// The pod fits no node.
    Unschedulable,
    /// The builder's image cannot be pulled.
    ImagePull,
    /// The container cannot be started.
    PodNotStarted,
    /// An object of the same name from an earlier image is still being deleted.
    NamesakeTerminating,
    /// The claim is being deleted.
    VolumeTerminating,
    /// A pod of a deleted Job still writes to the claim.
    OldPodRunning,
    /// An object of the wanted name exists and is not ours.
    NameConflict,
    /// An older image pushes to the same tag.
    TagConflict,
    /// The cluster has no CDI yet, or the operator leaves it alone.
    WaitingForCDI,
    /// CDI is to adopt the claim.
    Adopting,
    /// CDI made a claim of its own for a DataVolume of the claim's name.
    DataVolumeFirst,
    /// Something else controls the claim, so CDI cannot.
    ClaimOwnedByOther,
    /// The apiserver refused what the controller asked for.
    Refused,
    /// A claim with a stable name holds other content.
    NameHoldsOtherContent,
    /// Every attempt failed.
    RetryLimitExceeded,
    /// Two builds of one content differ.
    NonReproducible,
    /// The builder refused the document.
    InvalidDocument,
    /// An input is missing or has another digest.
    InvalidInput,
    /// The volume is too small for the disk.
    VolumeTooSmall,
    /// The volume holds something that is not ours.
    VolumeHoldsOther,
    /// A source lies where the operator's rules do not let a build reach.
    SourceRefused,
    /// A registry refused the image for good.
    PushRefused,
    /// A script of the document failed.
    ScriptFailed,
    /// The builder used more memory than its limit.
    OutOfMemory,
    /// The attempt took longer than `build.timeoutSeconds`.
    Timeout,
    /// The pod was evicted or its node was lost.
    PodLost,
    /// Reading or writing failed in the pod.
    InputOutput,
    /// A defect of the builder.
    Bug,
}

impl Reason {
    /// The reason's name.
    #[must_use]
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Published => "Published",
            Self::Resolving => "Resolving",
            Self::Building => "Building",
            Self::Publishing => "Publishing",
            Self::Retrying => "Retrying",
            Self::Suspended => "Suspended",
            Self::SourceMissing => "SourceMissing",
            Self::StorageClassMissing => "StorageClassMissing",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::PodSecurityDenied => "PodSecurityDenied",
            Self::PodNotCreated => "PodNotCreated",
            Self::Unschedulable => "Unschedulable",
            Self::ImagePull => "ImagePull",
            Self::PodNotStarted => "PodNotStarted",
            Self::NamesakeTerminating => "NamesakeTerminating",
            Self::VolumeTerminating => "VolumeTerminating",
            Self::OldPodRunning => "OldPodRunning",
            Self::NameConflict => "NameConflict",
            Self::TagConflict => "TagConflict",
            Self::WaitingForCDI => "WaitingForCDI",
            Self::Adopting => "Adopting",
            Self::DataVolumeFirst => "DataVolumeFirst",
            Self::ClaimOwnedByOther => "ClaimOwnedByOther",
            Self::Refused => "Refused",
            Self::NameHoldsOtherContent => "NameHoldsOtherContent",
            Self::RetryLimitExceeded => "RetryLimitExceeded",
            Self::NonReproducible => "NonReproducible",
            Self::InvalidDocument => "InvalidDocument",
            Self::InvalidInput => "InvalidInput",
            Self::VolumeTooSmall => "VolumeTooSmall",
            Self::VolumeHoldsOther => "VolumeHoldsOther",
            Self::SourceRefused => "SourceRefused",
            Self::PushRefused => "PushRefused",
            Self::ScriptFailed => "ScriptFailed",
            Self::OutOfMemory => "OutOfMemory",
            Self::Timeout => "Timeout",
            Self::PodLost => "PodLost",
            Self::InputOutput => "InputOutput",
            Self::Bug => "Bug",
        }
    }
}
