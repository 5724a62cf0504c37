//! From applying to Ready on a cluster: ten hello images, one after another, split into what a user
//! waits for. Run by `e2e/bench` inside the network of a local cluster.
//!
//! Asserts no time. Invariant: times are when this program saw a change in a watch; steps inside
//! the pod are what its own report says.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;
use vmimage::api::Image;
use vmimage::report::Report;

const IMAGES: usize = 10;

/// What is timed, in the order of the table.
#[derive(Clone, Copy)]
enum Step {
    Status,
    Job,
    Scheduled,
    Running,
    Ended,
    Ready,
    Build,
    Publish,
    ReadyAfterEnd,
}

const STEPS: [(Step, &str); 9] = [
    (Step::Status, "apply → first status"),
    (Step::Job, "apply → Job created"),
    (Step::Scheduled, "apply → pod scheduled"),
    (Step::Running, "apply → container runs or has run"),
    (Step::Ended, "apply → container ended"),
    (Step::Ready, "apply → Ready"),
    (Step::Build, "in the pod: build (its report)"),
    (Step::Publish, "in the pod: publish (its report)"),
    (Step::ReadyAfterEnd, "container ended → Ready"),
];

/// The times of one image, by step.
#[derive(Default)]
struct Times([Option<Duration>; STEPS.len()]);

impl Times {
    fn get(&self, step: Step) -> Option<Duration> {
        self.0[step as usize]
    }

    /// The first time counts.
    fn note(&mut self, step: Step, time: Duration) {
        self.0[step as usize].get_or_insert(time);
    }
}

#[tokio::main]
async fn main() {
    let client = Client::try_default().await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let metadata = ObjectMeta { generate_name: Some("bench-".into()), ..ObjectMeta::default() };
    let made = Namespace { metadata, ..Namespace::default() };
    let made = namespaces.create(&PostParams::default(), &made).await.unwrap();
    let namespace = made.metadata.name.unwrap();
    let mut columns = vec![Vec::new(); STEPS.len()];
    // The first one finds nothing warm and is not counted.
    for number in 0..=IMAGES {
        let times = one(&client, &namespace, &format!("hello-{number}")).await;
        for (column, (step, _)) in columns.iter_mut().zip(STEPS) {
            if number > 0 {
                column.push(times.get(step).unwrap());
            }
        }
    }
    println!("| step | median | least | most |\n|---|---|---|---|");
    for ((_, step), mut column) in STEPS.iter().zip(columns) {
        column.sort_unstable();
        let ms = |at: usize| column[at].as_millis();
        println!("| {step} | {} ms | {} ms | {} ms |", ms(IMAGES / 2), ms(0), ms(IMAGES - 1));
    }
    let memory = memory(&client).await;
    println!("| operator's resident memory after {IMAGES} images | {} KiB | | |", memory / 1024);
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
}

/// Applies one image and notes when what was seen.
async fn one(client: &Client, namespace: &str, name: &str) -> Times {
    let images: Api<Image> = Api::namespaced(client.clone(), namespace);
    let label = format!("vmimage.dev/image={name}");
    let ours = watcher::Config::default().labels(&label);
    let jobs = watcher(Api::<Job>::namespaced(client.clone(), namespace), ours.clone());
    let pods = watcher(Api::<Pod>::namespaced(client.clone(), namespace), ours);
    let this = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let image = watcher(images.clone(), this);
    let mut seen = futures::stream::select_all([
        image.applied_objects().map_ok(|image| Seen::Image(Box::new(image))).boxed(),
        jobs.applied_objects().map_ok(|_| Seen::Job).boxed(),
        pods.applied_objects().map_ok(|pod| Seen::Pod(Box::new(pod))).boxed(),
    ]);
    let spec =
        json!({"boot": {"sector": {"message": name}}, "publish": [{"name": "golden", "pvc": {}}]});
    let mut object = Image { spec, ..Image::default() };
    object.metadata.name = Some(name.to_owned());
    let began = Instant::now();
    let mut body = serde_json::to_value(&object).unwrap();
    body["apiVersion"] = json!("vmimage.dev/v1alpha1");
    body["kind"] = json!("VMImage");
    let request =
        http::Request::post(format!("/apis/vmimage.dev/v1alpha1/namespaces/{namespace}/vmimages"))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .unwrap();
    client.request::<Image>(request).await.unwrap();
    let mut times = Times::default();
    while times.get(Step::Ready).is_none() || times.get(Step::Ended).is_none() {
        let event = tokio::time::timeout(Duration::from_secs(60), seen.next()).await;
        let event = event.expect("something happens within a minute").unwrap().unwrap();
        let mut note = |step: Step, holds: bool| {
            if holds {
                times.note(step, began.elapsed());
            }
        };
        match event {
            Seen::Job => note(Step::Job, true),
            Seen::Image(image) => {
                let conditions = image.status().conditions;
                note(Step::Status, !conditions.is_empty());
                note(
                    Step::Ready,
                    conditions.iter().any(|c| c.kind == "Ready" && c.status == "True"),
                );
            }
            Seen::Pod(pod) => {
                note(
                    Step::Scheduled,
                    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()),
                );
                let status = pod.status.unwrap_or_default().container_statuses.unwrap_or_default();
                let state = status.into_iter().next().and_then(|c| c.state).unwrap_or_default();
                note(Step::Running, state.running.is_some() || state.terminated.is_some());
                note(Step::Ended, state.terminated.is_some());
                if let Some(result) = state
                    .terminated
                    .and_then(|t| t.message)
                    .and_then(|m| Report::parse(&m).ok()?.result)
                {
                    times.note(Step::Build, Duration::from_millis(result.build_millis));
                    times.note(Step::Publish, Duration::from_millis(result.publish_millis));
                }
            }
        }
    }
    let ready = times.get(Step::Ready).unwrap();
    times.note(Step::ReadyAfterEnd, ready.saturating_sub(times.get(Step::Ended).unwrap()));
    times
}

enum Seen {
    Image(Box<Image>),
    Job,
    Pod(Box<Pod>),
}

/// Resident memory of the operator in bytes, from its metrics.
async fn memory(client: &Client) -> u64 {
    let path = "/api/v1/namespaces/vmimage-system/services/vmimage-operator:http/proxy/metrics";
    let text =
        client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
    let line =
        text.lines().find(|line| line.starts_with("process_resident_memory_bytes ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
