//! Two commands in turn, several times: medians of their times, the ratio, the most memory.
//!
//! Judges nothing. Invariant: both are whole processes, and run on the same data in one run.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many pairs are run; one more before them warms the caches.
pub(crate) const PAIRS: usize = 7;

/// What one command took.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    /// Resident memory at its peak, in KiB.
    pub(crate) memory: u64,
}

/// Medians of both sides.
pub(crate) struct Compared {
    pub(crate) ours: Cost,
    pub(crate) theirs: Cost,
    /// Their time for each of our seconds: the median of the pairs.
    pub(crate) ratio: f64,
}

/// Runs both in turn.
pub(crate) fn compare(
    ours: &mut dyn FnMut() -> Cost,
    theirs: &mut dyn FnMut() -> Cost,
) -> Compared {
    ours();
    theirs();
    let pairs: Vec<(Cost, Cost)> = (0..PAIRS).map(|_| (ours(), theirs())).collect();
    let mut ratios: Vec<f64> =
        pairs.iter().map(|(a, b)| b.time.as_secs_f64() / a.time.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let of = |pick: fn(&(Cost, Cost)) -> Cost| {
        let mut costs: Vec<Cost> = pairs.iter().map(pick).collect();
        costs.sort_by_key(|cost| cost.time);
        let memory = costs.iter().map(|cost| cost.memory).max().unwrap_or_default();
        Cost { time: costs[PAIRS / 2].time, memory }
    };
    Compared { ours: of(|pair| pair.0), theirs: of(|pair| pair.1), ratio: ratios[PAIRS / 2] }
}

/// Runs a command to its end and looks at its memory every millisecond.
pub(crate) fn run(command: &mut Command) -> Cost {
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let id = child.id();
    let ended = AtomicBool::new(false);
    let (time, memory) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(peak(id));
                thread::sleep(Duration::from_millis(1));
            }
            most
        });
        let status = child.wait().unwrap();
        let time = began.elapsed();
        ended.store(true, Ordering::Relaxed);
        assert!(status.success(), "{command:?}: {status}");
        (time, watch.join().unwrap())
    });
    Cost { time, memory }
}

/// The kernel's high-water mark, which never sinks: the last look before the end has it.
fn peak(process: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{process}/status"));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
