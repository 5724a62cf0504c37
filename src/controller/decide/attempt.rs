//! What a Job and its pods tell: how far it is, how it ended, and what a failure means.
//!
//! Pure. Invariant: messages hold nothing random (no generated pod names, no times), so that the
//! same situation is described by the same text.

use super::super::observe::{Attempt, Ended, Marks, Phase, PodTruth};
use super::super::reason::Reason;
use crate::report::{BuildResult, Class, Code, Report};

/// Reasons with which a runtime says that a container never ran.
const NOT_STARTED: [&str; 3] = ["StartError", "ContainerCannotRun", "CreateContainerError"];

/// What a failure means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) class: Class,
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Verdict {
    fn new(class: Class, reason: Reason, message: impl Into<String>) -> Self {
        Self { class, reason, message: message.into() }
    }
}

/// How far a pod of a running Job is.
pub(super) fn truth(pod: &PodTruth) -> (Reason, String) {
    if let Some((reason, message)) = &pod.waiting {
        return waiting(reason, message);
    }
    if pod.running || pod.ended.is_some() {
        return (Reason::Building, "the build runs".to_owned());
    }
    match &pod.unschedulable {
        Some(message) => (Reason::Unschedulable, format!("the build pod fits no node: {message}")),
        None => (Reason::Building, "the build pod is being started".to_owned()),
    }
}

fn waiting(reason: &str, message: &str) -> (Reason, String) {
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => {
            (Reason::ImagePull, format!("the builder's image cannot be pulled: {message}"))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            (Reason::PodNotStarted, format!("the build container cannot be started: {message}"))
        }
        _ => (Reason::Building, "the build pod is being started".to_owned()),
    }
}

/// What the message of a `FailedCreate` event of a Job means.
pub(super) fn refusal(message: &str) -> Reason {
    if message.contains("exceeded quota") || message.contains("failed quota") {
        Reason::QuotaExceeded
    } else if message.contains("violates PodSecurity") {
        Reason::PodSecurityDenied
    } else {
        Reason::PodNotCreated
    }
}

/// The message without the generated name of the pod that was refused:
/// `Error creating: pods "x-1-abcde" is forbidden: …` → `no build pod can be created: …`.
pub(super) fn plain(message: &str) -> String {
    let cause = message.split_once("\" is forbidden: ").map_or(message, |(_, cause)| cause);
    format!("no build pod can be created: {}", cause.trim_start_matches("Error creating: "))
}

fn bug(text: String) -> Verdict {
    Verdict::new(Class::Bug, Reason::Bug, text)
}

/// What a Job that ended well reported, and the pod that did. Nothing if the pod is gone.
fn report<'a>(
    job: &Attempt,
    pods: &'a [PodTruth],
) -> Result<Option<(&'a PodTruth, Report)>, Verdict> {
    let done = |pod: &&PodTruth| {
        pod.job == job.id.uid && pod.ended.as_ref().is_some_and(|ended| ended.exit == 0)
    };
    let Some(pod) = pods.iter().find(done) else { return Ok(None) };
    let message = pod.ended.as_ref().map(|ended| ended.message.as_str()).unwrap_or_default();
    Ok(Some((pod, Report::parse(message).map_err(|e| bug(e.to_string()))?)))
}

/// The result of a Job that ended well, with the pod that reported it. Nothing if the pod is gone.
pub(super) fn result<'a>(
    job: &Attempt,
    pods: &'a [PodTruth],
) -> Result<Option<(&'a PodTruth, BuildResult)>, Verdict> {
    let Some((pod, report)) = report(job, pods)? else { return Ok(None) };
    let result = report.result.ok_or_else(|| bug("the pod reported no result".to_owned()))?;
    Ok(Some((pod, result)))
}

/// The digests that a Job found which looked at inputs. Nothing if the pod is gone.
pub(super) fn digests(job: &Attempt, pods: &[PodTruth]) -> Result<Option<Vec<String>>, Verdict> {
    let Some((_, report)) = report(job, pods)? else { return Ok(None) };
    let odd = |hex: &&String| hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(odd) = report.digests.iter().find(odd) {
        return Err(bug(format!("the pod reported {odd:?}, which is no digest")));
    }
    Ok(Some(report.digests.iter().map(|hex| format!("sha256:{hex}")).collect()))
}

/// The marks for a volume that a build has filled.
pub(super) fn marks(result: &BuildResult, attempt: u32) -> Marks {
    Marks {
        digest: result.target_digest.clone(),
        size: result.target_size,
        content_digest: result.content_digest.clone(),
        virtual_size: result.virtual_size,
        manifest_digest: result.manifest_digest.clone(),
        attempt,
    }
}

/// What the failure of a Job means.
pub(super) fn classify(job: &Attempt, pods: &[PodTruth]) -> Verdict {
    let Phase::Failed(why) = &job.phase else {
        return Verdict::new(Class::Bug, Reason::Bug, "the Job has not failed");
    };
    let last = pods.iter().filter(|pod| pod.job == job.id.uid).max_by_key(|pod| pod.id.created);
    let Some(pod) = last else {
        let message = format!("the build pod is gone; its Job says {why}");
        return Verdict::new(Class::Transient, Reason::PodLost, message);
    };
    if pod.reason == "DeadlineExceeded" {
        let message = "the attempt took longer than spec.build.timeoutSeconds";
        return Verdict::new(Class::Transient, Reason::Timeout, message);
    }
    if let Some((number, ended)) = &pod.script {
        return script(*number, ended);
    }
    match &pod.ended {
        Some(ended) if ended.reason == "OOMKilled" => out_of_memory(),
        Some(ended) if NOT_STARTED.contains(&ended.reason.as_str()) => not_started(ended),
        Some(ended) => exit(ended),
        None => {
            let detail = if pod.reason.is_empty() { why } else { &pod.reason };
            let message = format!("the build pod was lost: {detail} {}", pod.message);
            Verdict::new(Class::Transient, Reason::PodLost, message.trim_end())
        }
    }
}

/// Tried once more: another node may have more to spare, but a limit that is too low stays so.
fn out_of_memory() -> Verdict {
    let message =
        "the builder used more memory than its limit; raise spec.build.resources.limits.memory";
    Verdict::new(Class::Bug, Reason::OutOfMemory, message)
}

/// A script failed. It would do so again, unless it was stopped from outside.
fn script(number: usize, ended: &Ended) -> Verdict {
    let field = format!("spec.disk.scripts[{}]", number.saturating_sub(1));
    let tail: String = ended.message.trim_end().chars().rev().take(600).collect();
    let tail: String = tail.chars().rev().collect();
    let message = match ended.reason.as_str() {
        "OOMKilled" => format!(
            "{field}: the script used more memory than its limit; raise \
             spec.build.resources.limits.memory"
        ),
        _ => format!("{field}: the script ended with exit code {}: {tail}", ended.exit),
    };
    let stopped = ended.exit == 137 || ended.exit == 143;
    let class = if stopped { Class::Transient } else { Class::Terminal };
    Verdict::new(class, Reason::ScriptFailed, message.trim_end_matches(": "))
}

/// The container never ran: no defect of the builder.
fn not_started(ended: &Ended) -> Verdict {
    // This is how runc tells that the limit is too low for itself already.
    if ended.message.contains("OOM-killed") {
        return out_of_memory();
    }
    let tail: String = ended.message.chars().take(800).collect();
    let message = format!("the build container cannot be started: {tail}");
    Verdict::new(Class::Transient, Reason::PodNotStarted, message)
}

fn exit(ended: &Ended) -> Verdict {
    match Report::parse(&ended.message) {
        Ok(report) => {
            let message = match &report.field {
                Some(field) => format!("{field}: {}", report.message),
                None => report.message.clone(),
            };
            Verdict::new(report.code.class(), reason(report.code), message)
        }
        // Without a report the process never came to its end: the runtime or the kernel stopped it.
        Err(_) if ended.exit == 137 || ended.exit == 143 => {
            let message = format!("the build container was killed (exit code {})", ended.exit);
            Verdict::new(Class::Transient, Reason::PodLost, message)
        }
        Err(_) => {
            let tail: String = ended.message.chars().take(800).collect();
            let message =
                format!("the build container ended with {} ({}): {tail}", ended.exit, ended.reason);
            Verdict::new(Class::Bug, Reason::Bug, message)
        }
    }
}

const fn reason(code: Code) -> Reason {
    match code {
        Code::InvalidDocument => Reason::InvalidDocument,
        Code::InvalidInput => Reason::InvalidInput,
        Code::VolumeTooSmall => Reason::VolumeTooSmall,
        Code::VolumeHoldsOther => Reason::VolumeHoldsOther,
        Code::SourceRefused => Reason::SourceRefused,
        Code::PushRefused => Reason::PushRefused,
        Code::Io => Reason::InputOutput,
        Code::Stopped => Reason::PodLost,
        Code::Ok | Code::Bug | Code::Unknown => Reason::Bug,
    }
}
