//! The result documents that travel up from the build pod: the report (termination message) and
//! the build manifest (one framed log line, and `<name>.build.json` on a desk).
//!
//! Shared by builder and controller; does no I/O. Invariant: a report fits the termination message
//! with room to spare, and an unknown version or an over-long text is an error, never a guess.

use serde::{Deserialize, Serialize};

/// The version of both documents.
pub const VERSION: u32 = 1;

/// A report has room for the digests of so many inputs.
pub const MAX_DIGESTS: usize = 20;

/// Kubernetes cuts termination messages at 4096 bytes; we stay far below.
pub const MAX_REPORT: usize = 1536;

/// The framed log line is `MANIFEST_FRAME <sha256 of the JSON> <JSON>`.
pub const MANIFEST_FRAME: &str = "vmimage-build-manifest-v1";

/// How a build ended, for machines. The names are a documented contract (docs/reference/exit-codes.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Code {
    /// Built and published.
    Ok,
    /// The document is not valid.
    InvalidDocument,
    /// An input is missing, too long, or has another digest.
    InvalidInput,
    /// The volume is too small for the disk.
    VolumeTooSmall,
    /// The volume already holds other content.
    VolumeHoldsOther,
    /// A source lies where the operator's rules do not let a build reach.
    SourceRefused,
    /// A registry refused the image for good.
    PushRefused,
    /// Reading or writing failed.
    Io,
    /// The deadline passed or the pod was told to stop.
    Stopped,
    /// A defect of the builder.
    Bug,
    /// A code of a newer builder.
    #[serde(other)]
    Unknown,
}

/// What a failure means for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Only a change of the document helps.
    Terminal,
    /// Another attempt may succeed.
    Transient,
    /// A defect: one more attempt, then stop.
    Bug,
}

impl Code {
    /// All codes but the fallback.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::InvalidDocument,
        Self::InvalidInput,
        Self::VolumeTooSmall,
        Self::VolumeHoldsOther,
        Self::SourceRefused,
        Self::PushRefused,
        Self::Io,
        Self::Stopped,
        Self::Bug,
    ];

    /// The process's exit code. 1 is left to the runtime, 2 to usage errors, 101 to panics.
    #[must_use]
    pub const fn exit(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::InvalidDocument => 65,
            Self::InvalidInput => 66,
            Self::VolumeTooSmall => 67,
            Self::VolumeHoldsOther => 68,
            Self::SourceRefused => 77,
            Self::PushRefused => 73,
            Self::Io => 74,
            Self::Stopped => 75,
            Self::Bug | Self::Unknown => 70,
        }
    }

    /// What a failure with this code means for another attempt.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::InvalidDocument
            | Self::InvalidInput
            | Self::VolumeTooSmall
            | Self::VolumeHoldsOther
            | Self::SourceRefused
            | Self::PushRefused => Class::Terminal,
            Self::Io | Self::Stopped => Class::Transient,
            Self::Ok | Self::Bug | Self::Unknown => Class::Bug,
        }
    }

    /// The code's name, as it appears in reports and as a condition's reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "Ok",
            Self::InvalidDocument => "InvalidDocument",
            Self::InvalidInput => "InvalidInput",
            Self::VolumeTooSmall => "VolumeTooSmall",
            Self::VolumeHoldsOther => "VolumeHoldsOther",
            Self::SourceRefused => "SourceRefused",
            Self::PushRefused => "PushRefused",
            Self::Io => "Io",
            Self::Stopped => "Stopped",
            Self::Bug => "Bug",
            Self::Unknown => "Unknown",
        }
    }
}

/// The termination message of a build pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The document's version.
    pub v: u32,
    /// How the build ended.
    pub code: Code,
    /// What failed, in one sentence; empty when nothing did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The document field that the failure is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What was built, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<BuildResult>,
    /// SHA-256 of each input that has no digest in the document, in the document's order: 64
    /// hexadecimal digits each. Of a run that only looks at them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
}

/// What a build pod built and published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildResult {
    /// contentHash of the document that was built.
    pub content_hash: String,
    /// targetHash of the target that was published.
    pub target_hash: String,
    /// SHA-256 of the raw content, with the prefix `sha256:`.
    pub content_digest: String,
    /// Length of the raw content in bytes.
    pub virtual_size: u64,
    /// SHA-256 of the bytes as they lie in the target.
    pub target_digest: String,
    /// Length of the bytes as they lie in the target.
    pub target_size: u64,
    /// SHA-256 of the build manifest's JSON.
    pub manifest_digest: String,
    /// Whether the target held the content already.
    pub reused: bool,
    /// Milliseconds from the start of the process to the end of building.
    pub build_millis: u64,
    /// Milliseconds of publishing.
    pub publish_millis: u64,
}

/// Why a termination message is not a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Longer than any report.
    #[error("the result is {len} bytes long, at most {MAX_REPORT} are allowed")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Not the JSON of a report.
    #[error("the result is not a report: {0}")]
    Form(String),
    /// A version that this program does not know.
    #[error("the result has version {found}, this operator reads version {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
}

impl Report {
    /// Nothing to tell but this code.
    const fn bare(code: Code) -> Self {
        let message = String::new();
        Self { v: VERSION, code, message, field: None, result: None, digests: Vec::new() }
    }

    /// Trees were laid out for scripts; nothing was built yet.
    #[must_use]
    pub const fn staged() -> Self {
        Self::bare(Code::Ok)
    }

    /// A failure.
    #[must_use]
    pub fn failure(code: Code, message: &str, field: Option<&str>) -> Self {
        let field = field.map(|field| cut(field, 256).to_owned());
        Self { message: cut(message, 900).to_owned(), field, ..Self::bare(code) }
    }

    /// A success.
    #[must_use]
    pub fn success(result: BuildResult) -> Self {
        Self { result: Some(result), ..Self::bare(Code::Ok) }
    }

    /// Inputs were looked at: their digests, with the prefix `sha256:`.
    #[must_use]
    pub fn resolved(digests: &[String]) -> Self {
        let hex = |digest: &String| digest.trim_start_matches("sha256:").to_owned();
        Self { digests: digests.iter().map(hex).collect(), ..Self::bare(Code::Ok) }
    }

    /// The text for the termination message, at most `MAX_REPORT` bytes.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut shorter = self.clone();
        loop {
            let text = serde_json::to_string(&shorter).unwrap_or_default();
            if text.len() <= MAX_REPORT || shorter.message.is_empty() {
                return text;
            }
            // JSON escapes can blow a message up; halve it until it fits.
            shorter.message = cut(&shorter.message, shorter.message.len() / 2).to_owned();
        }
    }

    /// Reads a termination message.
    pub fn parse(text: &str) -> Result<Self, ReportError> {
        if text.len() > MAX_REPORT {
            return Err(ReportError::TooLong { len: text.len() });
        }
        let report: Self =
            serde_json::from_str(text.trim()).map_err(|e| ReportError::Form(e.to_string()))?;
        if report.v != VERSION {
            return Err(ReportError::Version { found: report.v });
        }
        Ok(report)
    }
}

/// The longest prefix of `text` that is at most `max` bytes and ends between characters.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// What an image was made of: the long form of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildManifest {
    /// The document's version.
    pub v: u32,
    /// The image's name.
    pub name: String,
    /// Version of the program that built it.
    pub engine: String,
    /// Always true until a document can run scripts.
    pub reproducible: bool,
    /// contentHash of the document.
    pub content_hash: String,
    /// SHA-256 of the raw content.
    pub content_digest: String,
    /// Length of the raw content in bytes.
    pub virtual_size: u64,
    /// Inputs with their digests, by document field.
    pub inputs: Vec<InputEntry>,
    /// Files of boot loaders, and the guest's init, that the media are made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot_assets: Vec<BootAssetsEntry>,
    /// Byte versions of the writers.
    pub writers: Vec<WriterEntry>,
    /// The files or targets that were written.
    pub outputs: Vec<OutputEntry>,
}

/// One input of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputEntry {
    /// The document field.
    pub field: String,
    /// SHA-256 of the bytes.
    pub digest: String,
    /// Number of bytes.
    pub size: u64,
}

/// Files that belong together, such as all modules of GRUB for BIOS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootAssetsEntry {
    /// Their name.
    pub set: String,
    /// SHA-256 over their names and bytes.
    pub digest: String,
}

/// The byte version of one writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriterEntry {
    /// The writer.
    pub name: String,
    /// Its number.
    pub version: u32,
}

/// One file or target that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputEntry {
    /// Name of the format or target.
    pub name: String,
    /// The file format.
    #[serde(rename = "type")]
    pub kind: String,
    /// The file's name.
    pub file: String,
    /// Format options that are not at their default.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub options: serde_json::Value,
    /// The preset; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preset: String,
    /// What the whole file is compressed with; empty for nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wrap: String,
    /// The second file, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion: Option<FileEntry>,
    /// What was done that the document does not say in so many words, such as padding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// SHA-256 of the file.
    pub digest: String,
    /// Length of the file in bytes.
    pub size: u64,
}

/// A file beside the one that an output names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// The file's name.
    pub file: String,
    /// SHA-256 of the file.
    pub digest: String,
    /// Length of the file in bytes.
    pub size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_always_fits() {
        let nasty = "\u{1}\"\\é".repeat(4000);
        let text = Report::failure(Code::Bug, &nasty, Some(&nasty)).to_text();
        assert!(text.len() <= MAX_REPORT, "{}", text.len());
        assert_eq!(Report::parse(&text).unwrap().code, Code::Bug);
    }

    #[test]
    fn hostile_messages_are_refused() {
        assert!(matches!(Report::parse(&"x".repeat(2000)), Err(ReportError::TooLong { .. })));
        assert!(matches!(Report::parse("exec format error"), Err(ReportError::Form(_))));
        assert!(matches!(
            Report::parse(r#"{"v":2,"code":"Ok"}"#),
            Err(ReportError::Version { found: 2 })
        ));
        assert_eq!(Report::parse(r#"{"v":1,"code":"Melted"}"#).unwrap().code, Code::Unknown);
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let table: Vec<_> = Code::ALL.iter().map(|c| (c.as_str(), c.exit())).collect();
        let expected = [
            ("Ok", 0),
            ("InvalidDocument", 65),
            ("InvalidInput", 66),
            ("VolumeTooSmall", 67),
            ("VolumeHoldsOther", 68),
            ("SourceRefused", 77),
            ("PushRefused", 73),
            ("Io", 74),
            ("Stopped", 75),
            ("Bug", 70),
        ];
        assert_eq!(table, expected);
    }
}
