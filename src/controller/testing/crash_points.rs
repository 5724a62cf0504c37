//! The controller is killed at every request of an image's life; another one takes over.
//!
//! Invariant: whoever kills it, and when, changes only how long it takes.

use super::{Death, Fate, World};
use crate::report::{Code, Report};

/// The requests of an undisturbed life, and how the cluster looks at its end.
async fn undisturbed(
    make: impl AsyncFn() -> World,
    holds: impl Fn(&World),
) -> (usize, serde_json::Value) {
    let world = make().await;
    world.settle(&mut world.controller(), "hello").await.unwrap();
    holds(&world);
    (world.requests().len(), world.picture())
}

/// Kills the controller at each of its requests, before and after it is done: `holds` looks at every
/// end, and all ends are the same.
pub(super) async fn sweep(make: impl AsyncFn() -> World, holds: impl Fn(&World)) {
    let (requests, expected) = undisturbed(&make, &holds).await;
    assert!(requests > 10, "{requests}");
    for last in 0..requests {
        for death in [Death::Before, Death::After] {
            let world = make().await;
            let died = world.settle(&mut world.mortal(last, death), "hello").await.is_none();
            assert!(died, "request {last} of {requests} was never made");
            // The world goes on while no controller runs.
            while world.server.lock().step(&world.fate) {}
            world.settle(&mut world.controller(), "hello").await.unwrap();
            holds(&world);
            assert_eq!(world.picture(), expected, "killed at request {last}, {death:?}");
        }
    }
    println!("{requests} requests, killed before and after each");
}

#[tokio::test]
async fn a_life_ends_the_same_wherever_it_was_cut() {
    sweep(async || World::with_hello(), World::kept).await;
}

/// A published image with one published predecessor, and just edited again.
async fn edited_twice() -> World {
    let world = World::with_hello();
    for message in ["second", "third"] {
        world.settle(&mut world.controller(), "hello").await.unwrap();
        world.server.lock().objects.change(&World::key("hello"), |image| {
            image["spec"]["boot"]["sector"]["message"] = message.into();
        });
    }
    world.requests();
    world
}

#[tokio::test]
async fn so_does_the_life_of_an_edited_image() {
    sweep(edited_twice, World::kept).await;
}

#[tokio::test]
async fn so_does_a_life_that_fails() {
    let failing = async || {
        let mut world = World::with_hello();
        let report = Report::failure(Code::Io, "the disk broke", None).to_text();
        world.fate = Fate::Failure(74, "Error", report);
        world
    };
    sweep(&failing, World::kept).await;
    let world = failing().await;
    world.settle(&mut world.controller(), "hello").await.unwrap();
    let message = world.stands("hello", "False", "RetryLimitExceeded");
    assert!(message.contains("3 of 3 attempts failed; the last: the disk broke"), "{message}");
    let jobs: Vec<usize> = world.server.lock().promises.jobs.values().copied().collect();
    assert_eq!(jobs, [1, 1, 1], "one Job for every attempt");
}
