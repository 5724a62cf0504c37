//! Decisions as stories: what was seen, what is done about it.

mod attempts;
mod cdi;
mod claims;
mod pushed;

use jiff::Timestamp;

use super::super::cdi::Ties;
use super::super::observe::{
    Attempt, Class, Ended, Identity, Marks, Observed, Phase, PodTruth, Volume,
};
use super::super::reason::Reason;
use super::super::validate::{Accepted, validate};
use super::{Action, Decision, Facts, State, decide};
use crate::api::{Image, Status};
use crate::report::{BuildResult, Report};

const UID: &str = "uid-1";

fn image(spec: serde_json::Value) -> Image {
    let mut image = Image { spec, ..Image::default() };
    image.metadata.name = Some("hello".into());
    image.metadata.namespace = Some("ns".into());
    image.metadata.uid = Some(UID.into());
    image.metadata.generation = Some(1);
    image
}

/// A story about the one target of the hello document.
struct Story {
    accepted: Accepted,
    seen: Observed,
    status: Status,
    generation: i64,
    rebuild: Option<&'static str>,
}

impl Story {
    fn new() -> Self {
        Self::of(serde_json::json!({
            "boot": {"sector": {"message": "Hello World!"}},
            "publish": [{"name": "golden", "pvc": {}}],
        }))
    }

    fn of(spec: serde_json::Value) -> Self {
        let accepted = validate(&image(spec)).unwrap();
        let mut seen = Observed { now: at(1000), ..Observed::default() };
        seen.classes.insert(String::new(), Class::Found("standard".into()));
        Self { accepted, seen, status: Status::default(), generation: 1, rebuild: None }
    }

    fn id(&self, name: &str) -> Identity {
        Identity {
            name: name.into(),
            uid: format!("uid-of-{name}"),
            owner: UID.into(),
            target: "golden".into(),
            target_hash: self.accepted.wanted[0].target_hash.clone(),
            deleting: false,
            created: at(500),
        }
    }

    fn volume(mut self, marks: Option<Marks>) -> Self {
        let id = self.id(&self.accepted.wanted[0].claim.clone());
        self.seen.volumes.push(volume(id, marks));
        self
    }

    /// The volumes of the first targets, each complete with contents of its digest.
    fn published(mut self, digests: &[&str]) -> Self {
        for (wanted, digest) in self.accepted.wanted.iter().zip(digests) {
            let mut id = self.id(&wanted.claim);
            (id.target, id.target_hash) = (wanted.target.clone(), wanted.target_hash.clone());
            self.seen.volumes.push(volume(id, Some(marks(digest))));
        }
        self
    }

    fn job(mut self, number: u32, phase: Phase) -> Self {
        let base = self.accepted.wanted[0].base.clone();
        let ended = (phase != Phase::Active).then(|| at(990));
        self.seen.jobs.push(Attempt {
            id: self.id(&format!("{base}-{number}")),
            number,
            generation: 1,
            build_hash: self.accepted.build_hash.clone(),
            rebuild: None,
            phase,
            ended,
        });
        self
    }

    fn pod(mut self, change: impl FnOnce(&mut PodTruth)) -> Self {
        let job = self.seen.jobs.last().unwrap().id.clone();
        let id = self.id(&format!("{}-x1y2z", job.name));
        let mut pod = PodTruth { id, job: job.uid, ..PodTruth::default() };
        change(&mut pod);
        self.seen.pods.push(pod);
        self
    }

    /// The container of the last Job's pod ended with this report.
    fn reported(self, report: &Report) -> Self {
        self.ended(i32::from(report.code.exit()), "Error", &report.to_text())
    }

    fn ended(self, exit: i32, reason: &str, message: &str) -> Self {
        let ended = Ended { exit, reason: reason.into(), message: message.into() };
        self.pod(|pod| {
            pod.ended = Some(ended);
            pod.over = true;
        })
    }

    fn decide(&self) -> Decision {
        let facts = Facts {
            uid: UID,
            namespace: "ns",
            name: "hello",
            generation: self.generation,
            previous: &self.status,
            rebuild: self.rebuild,
        };
        decide(&self.accepted, &self.seen, facts)
    }

    /// The reason of the only target and what is to be done.
    #[track_caller]
    fn ends(&self, reason: Reason, actions: &[&str]) -> Decision {
        let decision = self.decide();
        let found = match &decision.targets[0].state {
            State::Published(_) => Reason::Published,
            State::Suspended => Reason::Suspended,
            State::Working(reason, _) | State::Waiting(reason, _) | State::Stalled(reason, _) => {
                *reason
            }
        };
        let done: Vec<_> = decision.actions.iter().map(short).collect();
        assert_eq!((found, done), (reason, actions.iter().map(ToString::to_string).collect()));
        decision
    }

    #[track_caller]
    fn message(&self) -> String {
        match &self.decide().targets[0].state {
            State::Working(_, m) | State::Waiting(_, m) | State::Stalled(_, m) => m.clone(),
            other => panic!("{other:?} has no message"),
        }
    }
}

fn short(action: &Action) -> String {
    match action {
        Action::Start { attempt, .. } => format!("start {attempt}"),
        Action::Complete { .. } => "complete".into(),
        Action::DeleteJob { name, document, .. } => {
            let left = if document.is_none() { " but not its document" } else { "" };
            format!("delete job {}{left}", name.rsplit('-').next().unwrap())
        }
        Action::DeleteVolume { name, .. } => format!("delete volume {name}"),
        Action::Dress { .. } => "dress".into(),
        Action::Keep { .. } => "keep".into(),
        Action::DeleteManifest { .. } => "delete manifest".into(),
        Action::Cdi(act) => cdi::short(act),
    }
}

/// A claim of the image, which goes with it.
fn volume(id: Identity, marks: Option<Marks>) -> Volume {
    let ties = Ties {
        uid: id.uid.clone(),
        owner: id.owner.clone(),
        image: "hello".into(),
        owned: true,
        ..Ties::default()
    };
    Volume { id, marks, ties, ..Volume::default() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn marks(digest: &str) -> Marks {
    Marks { content_digest: digest.into(), attempt: 1, ..Marks::default() }
}

fn failed() -> Phase {
    Phase::Failed("BackoffLimitExceeded".into())
}

fn result(story: &Story) -> BuildResult {
    let wanted = &story.accepted.wanted[0];
    BuildResult {
        content_hash: wanted.content_hash.clone(),
        target_hash: wanted.target_hash.clone(),
        content_digest: "sha256:c".into(),
        virtual_size: 512,
        target_digest: "sha256:t".into(),
        target_size: 1 << 20,
        manifest_digest: "sha256:m".into(),
        reused: false,
        build_millis: 1,
        publish_millis: 2,
    }
}
