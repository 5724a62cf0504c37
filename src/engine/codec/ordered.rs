//! A parallel map whose results come in the order of the items.
//!
//! Does no work of its own. Invariants: results are delivered in order, so the output cannot
//! depend on the number of threads; the error that is returned is that of the first failing item
//! in order; at most `WINDOW` items per thread are under way, however many there are.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use crate::engine::base::Error;

/// Items under way per thread: one in work, one waiting for the thread.
const WINDOW: usize = 2;

/// Calls `work` for every item, on `threads` threads, and `deliver` on this thread for every
/// result, in the order of the items. Each thread has a context of its own, made by `context`.
/// One thread means this one. The first error stops everything.
pub fn ordered<T: Send, C, U: Send>(
    threads: usize,
    mut items: impl Iterator<Item = T>,
    context: impl Fn() -> Result<C, Error> + Sync,
    work: impl Fn(&mut C, T) -> Result<U, Error> + Sync,
    mut deliver: impl FnMut(U) -> Result<(), Error>,
) -> Result<(), Error> {
    if threads <= 1 {
        let mut context = context()?;
        return items.try_for_each(|item| deliver(work(&mut context, item)?));
    }
    let window = threads * WINDOW;
    let (job_sender, jobs) = mpsc::sync_channel::<(usize, T)>(window);
    let (results, result_receiver) = mpsc::channel::<(usize, Outcome<U>)>();
    let jobs = Mutex::new(jobs);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..threads {
            let results = results.clone();
            scope.spawn(|| serve(&jobs, &stop, results, &context, &work));
        }
        drop(results);
        // Both live in here, so that the threads end when this closure does, in whatever way.
        let _stop = StopOnDrop(&stop);
        let job_sender = job_sender;
        let mut pending: VecDeque<Option<Outcome<U>>> = VecDeque::with_capacity(window);
        let mut first = 0;
        loop {
            while pending.len() < window {
                let Some(item) = items.next() else { break };
                let sent = job_sender.send((first + pending.len(), item));
                assert!(sent.is_ok(), "the receiver lives longer than this loop");
                pending.push_back(None);
            }
            match pending.front_mut().map(Option::take) {
                None => return Ok(()),
                Some(Some(outcome)) => {
                    pending.pop_front();
                    first += 1;
                    deliver(outcome.unwrap_or_else(|panic| resume_unwind(panic))?)?;
                }
                Some(None) => {
                    let Ok((number, outcome)) = result_receiver.recv() else {
                        unreachable!("a thread answers every job, even when it panics")
                    };
                    if let Some(slot) = pending.get_mut(number - first) {
                        *slot = Some(outcome);
                    }
                }
            }
        }
    })
}

/// What became of an item: a panic travels to the calling thread.
type Outcome<U> = thread::Result<Result<U, Error>>;

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One thread: answers jobs until there are no more.
fn serve<T, C, U>(
    jobs: &Mutex<mpsc::Receiver<(usize, T)>>,
    stop: &AtomicBool,
    results: mpsc::Sender<(usize, Outcome<U>)>,
    context: &impl Fn() -> Result<C, Error>,
    work: &impl Fn(&mut C, T) -> Result<U, Error>,
) {
    let mut made = None;
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, item)) = job else { return };
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let context = match &mut made {
                Some(context) => context,
                none => none.insert(context()?),
            };
            work(context, item)
        }));
        if results.send((number, outcome)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::engine::base::Kind;

    /// Takes longer for even items, so that results arrive out of order.
    fn slow_square(n: u64) -> u64 {
        if n.is_multiple_of(2) {
            thread::sleep(Duration::from_micros(300));
        }
        n * n
    }

    #[test]
    fn results_come_in_order_on_any_number_of_threads() {
        for threads in [0, 1, 2, 3, 7] {
            let mut got = Vec::new();
            let deliver = |n| {
                got.push(n);
                Ok(())
            };
            let work = |(): &mut (), n| Ok(slow_square(n));
            ordered(threads, 0..200, || Ok(()), work, deliver).unwrap();
            assert_eq!(got, (0..200).map(|n| n * n).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    fn the_first_error_in_order_stops_everything() {
        for threads in [1, 2, 7] {
            let (pulled, delivered) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let items = (0..1_000_000u64).inspect(|_| {
                pulled.fetch_add(1, Ordering::Relaxed);
            });
            let work = |(): &mut (), n| match n {
                10 => {
                    thread::sleep(Duration::from_millis(5));
                    Err(Error::new(Kind::Io, "ten"))
                }
                11 => Err(Error::new(Kind::Io, "eleven")),
                _ => Ok(n),
            };
            let deliver = |_| {
                delivered.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            let error = ordered(threads, items, || Ok(()), work, deliver).unwrap_err();
            assert_eq!(error.to_string(), "ten");
            assert_eq!(delivered.into_inner(), 10);
            assert!(pulled.into_inner() <= 11 + threads * WINDOW);
        }
    }

    #[test]
    fn an_error_of_the_consumer_or_the_context_ends_it() {
        let fail = || Err(Error::new(Kind::Cancelled, "stop"));
        for threads in [1, 3] {
            let work = |(): &mut (), n: u64| Ok(n);
            assert!(ordered(threads, 0..1000, || Ok(()), work, |_| fail()).is_err());
            assert!(ordered(threads, 0..1000, fail, work, |_| Ok(())).is_err());
        }
    }

    #[test]
    #[should_panic(expected = "seven")]
    fn a_panic_reaches_the_caller_instead_of_hanging() {
        let work = |(): &mut (), n: u64| {
            assert!(n != 7, "seven");
            Ok(n)
        };
        let _ = ordered(3, 0..100, || Ok(()), work, |_| Ok(()));
    }
}
