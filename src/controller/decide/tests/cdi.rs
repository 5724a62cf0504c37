//! DataVolumes, DataSources and old volumes: what is done, in which order, and what stays.
//!
//! Invariant: as of `tests`.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::super::cdi::{
    Act, Look, Made, Served, SourceTruth, Tied, Ties, Uses, VolumeTruth,
};
use super::*;

pub(super) fn short(act: &Act) -> String {
    match act {
        Act::Volume { .. } => "make DataVolume".into(),
        Act::Populate { .. } => "populate".into(),
        Act::Tie { what: Tied::Claim, owned, .. } => format!("tie claim {owned}"),
        Act::Tie { what: Tied::Volume, owned, .. } => format!("tie DataVolume {owned}"),
        Act::Point { claim, stale, .. } => {
            let stale: Vec<&str> =
                stale.iter().map(|key| key.rsplit('/').next().unwrap()).collect();
            let tail = if stale.is_empty() { String::new() } else { format!(" -{stale:?}") };
            format!("point at {}{tail}", claim.as_deref().unwrap_or("nothing"))
        }
        Act::DeleteVolume { made, orphan } => {
            format!("delete DataVolume {}{}", made.name, if *orphan { " only" } else { "" })
        }
        Act::DeleteSource { made } => format!("delete DataSource {}", made.name),
    }
}

/// A target `golden` with this claim, which asks for a DataVolume and a DataSource of its name.
fn golden(pvc: serde_json::Value) -> Story {
    let mut all = json!({"name": "golden", "dataVolume": {}, "dataSource": {"name": "source"}});
    for (key, value) in pvc.as_object().unwrap() {
        match value {
            serde_json::Value::Null => drop(all.as_object_mut().unwrap().remove(key)),
            value => all[key] = value.clone(),
        }
    }
    let mut story = Story::of(json!({
        "boot": {"sector": {"message": "Hello World!"}},
        "publish": [{"name": "golden", "pvc": all}],
    }));
    story.seen.cdi.served = Served::There;
    story
}

fn own() -> Ties {
    Ties {
        uid: "u".into(),
        owner: UID.into(),
        image: "hello".into(),
        owned: true,
        ..Ties::default()
    }
}

impl Story {
    fn data_volume(mut self, phase: &str, change: impl FnOnce(&mut VolumeTruth)) -> Self {
        let mut volume =
            VolumeTruth { ties: own(), waits_for: "golden".into(), phase: phase.into() };
        change(&mut volume);
        self.seen.cdi.volumes.insert("golden".into(), Look::There(volume));
        self
    }

    fn data_source(mut self, claim: &str, change: impl FnOnce(&mut SourceTruth)) -> Self {
        let mut source = SourceTruth {
            ties: own(),
            claim: Some(claim.into()),
            target_hash: self.accepted.wanted[0].target_hash.clone(),
            defaults: BTreeSet::new(),
        };
        change(&mut source);
        self.seen.cdi.sources.insert("source".into(), Look::There(source));
        self
    }

    /// The claim is complete, and CDI was told.
    fn populated(self) -> Self {
        let mut story = self.volume(Some(marks("sha256:c")));
        story.seen.volumes[0].populated_for = "golden".into();
        story.seen.volumes[0].dress = story.accepted.wanted[0].dress.clone();
        story
    }

    /// A complete volume of earlier content.
    fn old(mut self, name: &str, age: i64) -> Self {
        let mut id = self.id(name);
        (id.target_hash, id.created) = (name.into(), at(age));
        self.seen.volumes.push(volume(id, Some(marks("sha256:o"))));
        self
    }
}

#[test]
fn the_data_volume_comes_before_the_claim() {
    golden(json!({})).ends(Reason::Building, &["make DataVolume", "start 1"]);
    golden(json!({})).data_volume("Pending", |_| {}).ends(Reason::Building, &["start 1"]);
    // CDI refuses it beside a claim that is not complete: it follows.
    golden(json!({})).volume(None).ends(Reason::Building, &["start 1"]);
    golden(json!({"dataVolume": {"create": "Never"}})).ends(Reason::Building, &["start 1"]);
}

#[test]
fn cdi_is_told_when_the_claim_is_complete_and_not_before() {
    let story = golden(json!({})).data_volume("Pending", |_| {});
    story.volume(Some(marks("sha256:c"))).ends(Reason::Adopting, &["populate"]);
    let waits = golden(json!({})).data_volume("Pending", |_| {}).populated();
    assert!(waits.ends(Reason::Adopting, &[]).again.is_some());
    assert!(waits.message().contains("Pending"), "{}", waits.message());
    let lost = golden(json!({})).populated();
    lost.ends(Reason::Adopting, &["make DataVolume"]);
    let both = golden(json!({})).volume(Some(marks("sha256:c")));
    both.ends(Reason::Adopting, &["populate", "make DataVolume"]);
}

#[test]
fn the_data_source_comes_last() {
    let adopted = || golden(json!({})).data_volume("Succeeded", |_| {}).populated();
    adopted().ends(Reason::Publishing, &["point at golden"]);
    let settled = adopted().data_source("golden", |_| {}).ends(Reason::Published, &[]);
    assert_eq!(settled.again, None);
    adopted().data_source("older", |_| {}).ends(Reason::Publishing, &["point at golden"]);
    let edited = adopted().data_source("golden", |source| source.claim = None);
    edited.ends(Reason::Publishing, &["point at golden"]);
    let waits = golden(json!({})).data_volume("Pending", |_| {}).populated();
    waits.data_source("older", |_| {}).ends(Reason::Adopting, &[]);
}

#[test]
fn labels_that_cdi_took_from_an_earlier_claim_go() {
    let stale = |source: &mut SourceTruth| {
        let prefix = "instancetype.kubevirt.io/default-";
        source.defaults = [format!("{prefix}instancetype"), format!("{prefix}preference")].into();
    };
    let pvc = json!({"defaults": {"preference": {"name": "linux"}}});
    let story = golden(pvc).data_volume("Succeeded", |_| {}).populated();
    let story = story.data_source("golden", stale);
    story.ends(Reason::Publishing, &[r#"point at golden -["default-instancetype"]"#]);
}

#[test]
fn a_lost_claim_is_filled_with_no_data_source_at_it() {
    let lost = || golden(json!({})).data_volume("Pending", |_| {}).data_source("golden", |_| {});
    lost().ends(Reason::Building, &["point at nothing", "start 1"]);
    lost().old("old", 1).ends(Reason::Building, &["point at old", "start 1"]);
}

#[test]
fn without_cdi_the_claim_is_published_and_its_coming_is_waited_for() {
    let mut story = golden(json!({}));
    story.seen.cdi.served = Served::Missing;
    story.ends(Reason::Building, &["start 1"]);
    let mut story = story.volume(Some(marks("sha256:c")));
    story.ends(Reason::Adopting, &["populate"]);
    story.seen.volumes[0].populated_for = "golden".into();
    let decision = story.ends(Reason::WaitingForCDI, &[]);
    assert_eq!(decision.again, None, "its coming is seen");
    assert!(decision.targets[0].filled.is_some());
    story.seen.cdi.served = Served::There;
    story.ends(Reason::Adopting, &["make DataVolume"]);
    story.seen.cdi.served = Served::Off;
    story.seen.volumes[0].populated_for = String::new();
    story.ends(Reason::WaitingForCDI, &[]);
    assert!(story.message().contains("--no-kubevirt"), "{}", story.message());
}

#[test]
fn a_data_volume_of_its_user_is_completed_and_never_made() {
    let never = || golden(json!({"dataVolume": {"create": "Never"}, "dataSource": null}));
    let users = |volume: &mut VolumeTruth| volume.ties = Ties::default();
    never().volume(Some(marks("sha256:c"))).ends(Reason::Adopting, &["populate"]);
    never().populated().ends(Reason::Published, &[]);
    never().populated().data_volume("Pending", users).ends(Reason::Adopting, &[]);
    never().populated().data_volume("Succeeded", users).ends(Reason::Published, &[]);
    let unprepared = |volume: &mut VolumeTruth| volume.waits_for = String::new();
    never().data_volume("", unprepared).ends(Reason::DataVolumeFirst, &[]);
}

#[test]
fn a_claim_that_cdi_made_first_is_told_with_what_to_do() {
    let mut story = golden(json!({"dataVolume": {"create": "Never"}})).volume(None);
    story.seen.volumes[0].id.owner = String::new();
    story.ends(Reason::NameConflict, &[]);
    story.seen.volumes[0].ties.controller = Some(("DataVolume".into(), "golden".into()));
    story.ends(Reason::DataVolumeFirst, &[]);
    let message = story.message();
    assert!(message.contains("cdi.kubevirt.io/storage.prePopulated: golden"), "{message}");
}

#[test]
fn a_data_volume_or_data_source_of_others_is_a_conflict() {
    let others = |ties: &mut Ties| ties.owner = String::new();
    golden(json!({}))
        .data_volume("Pending", |volume| others(&mut volume.ties))
        .ends(Reason::NameConflict, &[]);
    let complete = golden(json!({})).data_volume("Pending", |volume| others(&mut volume.ties));
    complete.volume(Some(marks("sha256:c"))).ends(Reason::NameConflict, &[]);
    let adopted = || golden(json!({})).data_volume("Succeeded", |_| {}).populated();
    adopted()
        .data_source("golden", |source| others(&mut source.ties))
        .ends(Reason::NameConflict, &[]);
    let second = adopted().data_source("golden", |source| {
        (source.ties.owner, source.ties.image) = ("uid-2".into(), "other".into());
    });
    second.ends(Reason::NameConflict, &[]);
    assert!(second.message().contains("VMImage other"), "{}", second.message());
    let earlier = adopted().data_source("golden", |source| source.ties.owner = "uid-0".into());
    earlier.ends(Reason::NamesakeTerminating, &[]);
}

#[test]
fn a_claim_that_another_controls_cannot_be_adopted() {
    let mut story = golden(json!({})).data_volume("Pending", |_| {}).populated();
    story.seen.volumes[0].ties.controller = Some(("StatefulSet".into(), "web".into()));
    story.ends(Reason::ClaimOwnedByOther, &[]);
    assert!(story.message().contains("StatefulSet web"), "{}", story.message());
    story.seen.volumes[0].ties.controller = Some(("DataVolume".into(), "golden".into()));
    story.ends(Reason::Adopting, &[]);
}

#[test]
fn what_may_not_be_looked_at_is_told() {
    let mut story = golden(json!({}));
    story.seen.cdi.volumes.insert("golden".into(), Look::Forbidden("cannot get".into()));
    assert!(story.ends(Reason::Refused, &[]).again.is_some());
    assert!(story.message().contains("cannot get"), "{}", story.message());
}

#[test]
fn retained_volumes_are_untied_once_they_are_complete() {
    let retain = json!({"retain": {"onDelete": "Retain"}});
    let story = golden(retain.clone()).data_volume("Pending", |_| {});
    let story = story.volume(Some(marks("sha256:c")));
    story.ends(Reason::Publishing, &["tie claim false", "tie DataVolume false"]);
    // Once CDI has adopted it, the claim goes with its DataVolume: that one first.
    let mut story = golden(retain).data_volume("Succeeded", |_| {}).populated();
    story.ends(Reason::Publishing, &["tie DataVolume false", "tie claim false"]);
    story.seen.volumes[0].ties.owned = false;
    let mut story = story.data_volume("Succeeded", |volume| volume.ties.owned = false);
    story.ends(Reason::Publishing, &["point at golden"]);
    // And tied again, if its user thinks better of it.
    story.accepted.wanted[0].retain = crate::manifest::types::Retain::default();
    story.ends(Reason::Publishing, &["tie DataVolume true", "tie claim true"]);
}

#[test]
fn a_volume_that_an_earlier_image_left_is_verified_and_taken_over() {
    let left = |volume: &mut Volume| {
        volume.id.owner = "uid-0".into();
        (volume.ties.owner, volume.ties.owned) = ("uid-0".into(), false);
    };
    let mut story = golden(json!({})).populated();
    left(&mut story.seen.volumes[0]);
    story.ends(Reason::Building, &["start 1"]);
    let done = story.job(1, Phase::Complete);
    let report = Report::success(result(&done));
    let mut story = done.ended(0, "Completed", &report.to_text());
    story.ends(Reason::Publishing, &["complete"]);
    story.seen.volumes[0].ties.owned = true;
    story.ends(Reason::NamesakeTerminating, &[]);
    story.seen.volumes[0].ties.owned = false;
    story.seen.volumes[0].ties.image = "other".into();
    story.ends(Reason::NameConflict, &[]);
    let mut story = golden(json!({})).populated();
    left(&mut story.seen.volumes[0]);
    story.seen.volumes[0].id.target_hash = "other".into();
    story.ends(Reason::NameHoldsOtherContent, &[]);
}

/// A plain target of which all is done, with three volumes of earlier content.
fn rich(previous: u32) -> Story {
    let retain = json!({"retain": {"previous": previous}});
    let plain = json!({"dataVolume": null, "dataSource": null});
    let mut pvc = plain;
    pvc["retain"] = retain["retain"].clone();
    golden(pvc).volume(Some(marks("sha256:c"))).old("oldest", 1).old("older", 2).old("old", 3)
}

#[test]
fn volumes_of_earlier_content_go_when_it_is_known_that_nobody_uses_them() {
    let mut story = rich(1);
    let asks = story.ends(Reason::Published, &[]);
    assert_eq!(asks.due, ["oldest", "older"]);
    assert_eq!(rich(0).decide().due, ["oldest", "older", "old"]);
    assert_eq!(rich(3).decide().due, [] as [&str; 0]);
    let used = Uses { by: ["pod a".to_owned()].into(), ..Uses::default() };
    let unknown = Uses { unknown: ["pods in namespace ns".to_owned()].into(), ..Uses::default() };
    story.seen.cdi.uses.insert("oldest".into(), used.clone());
    story.seen.cdi.uses.insert("older".into(), Uses::default());
    let decision = story.ends(Reason::Published, &["delete volume older"]);
    assert_eq!(decision.kept, [("oldest".to_owned(), used)]);
    assert!(decision.again.is_some());
    story.seen.cdi.uses.insert("older".into(), unknown);
    assert_eq!(story.ends(Reason::Published, &[]).kept.len(), 2);
}

#[test]
fn an_adopted_old_volume_goes_with_its_data_volume() {
    let mut story = rich(2);
    story.seen.cdi.uses.insert("oldest".into(), Uses::default());
    let by = Some(("DataVolume".to_owned(), "oldest".to_owned()));
    story.seen.volumes[1].ties.controller = by;
    let kept = story.ends(Reason::Published, &[]).kept;
    assert!(kept[0].1.by.iter().next().unwrap().contains("DataVolume oldest"), "{kept:?}");
    story.seen.cdi.made_volumes.push(Made { name: "oldest".into(), uid: "u".into() });
    story.ends(Reason::Published, &["delete DataVolume oldest", "delete volume oldest"]);
}

#[test]
fn a_volume_that_the_data_source_points_at_stays() {
    let story = golden(json!({"retain": {"previous": 0}})).data_volume("Pending", |_| {});
    let story = story.populated().old("old", 1).data_source("old", |_| {});
    assert_eq!(story.ends(Reason::Adopting, &[]).due, [] as [&str; 0]);
    let story = story.data_source("golden", |_| {});
    assert_eq!(story.ends(Reason::Adopting, &[]).due, ["old"]);
}

#[test]
fn what_no_target_asks_for_any_more_goes() {
    let mut story = golden(json!({"dataVolume": null, "dataSource": null}));
    story.seen.cdi.made_volumes.push(Made { name: "golden".into(), uid: "a".into() });
    story.seen.cdi.made_volumes.push(Made { name: "gone".into(), uid: "b".into() });
    story.seen.cdi.made_sources.push(Made { name: "source".into(), uid: "c".into() });
    story.ends(Reason::Building, &["start 1"]);
    let story = story.volume(Some(marks("sha256:c")));
    let gone =
        ["delete DataVolume golden only", "delete DataVolume gone", "delete DataSource source"];
    story.ends(Reason::Published, &gone);
    // Whether its claim is known to belong to it, only time can tell.
    let mut story = story;
    story.seen.cdi.fresh = ["golden".to_owned(), "gone".to_owned()].into();
    story.ends(Reason::Published, &gone[1..]);
}

#[test]
fn contents_that_differ_are_not_referred_to() {
    let mut story = Story::of(json!({
        "boot": {"sector": {"message": "Hello World!"}},
        "publish": [{"name": "golden", "pvc": {"name": "a", "dataSource": {"name": "a"}}},
            {"name": "b", "pvc": {}}],
    }))
    .published(&["sha256:a", "sha256:b"]);
    story.seen.cdi.served = Served::There;
    story.ends(Reason::NonReproducible, &[]);
    story.seen.volumes[1].marks = Some(marks("sha256:a"));
    story.ends(Reason::Publishing, &["point at a"]);
}
