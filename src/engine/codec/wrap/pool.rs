//! Threads that work on what is pushed to them; `ordered` is for what can be pulled.
//!
//! Does no work of its own. Invariants: results come in the order of the items; at most `WINDOW`
//! items per thread are under way; dropping the pool ends its threads.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

/// Items under way per thread: one in work, one waiting for the thread.
const WINDOW: usize = 2;

/// Threads with their items.
pub(super) struct Pool<T, U> {
    jobs: Option<mpsc::Sender<(usize, T)>>,
    results: mpsc::Receiver<(usize, thread::Result<U>)>,
    threads: Vec<thread::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    pending: VecDeque<Option<thread::Result<U>>>,
    /// The number of the first pending item.
    first: usize,
}

impl<T, U> fmt::Debug for Pool<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} threads)", self.threads.len())
    }
}

impl<T: Send + 'static, U: Send + 'static> Pool<T, U> {
    /// `threads` threads, each with a context of its own.
    pub(super) fn new<C>(
        threads: usize,
        context: impl Fn() -> C + Clone + Send + 'static,
        work: impl Fn(&mut C, T) -> U + Clone + Send + 'static,
    ) -> Self {
        let (jobs, receiver) = mpsc::channel::<(usize, T)>();
        let (sender, results) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |_| {
            let (receiver, sender) = (Arc::clone(&receiver), sender.clone());
            let (stop, context, work) = (Arc::clone(&stop), context.clone(), work.clone());
            thread::spawn(move || {
                let mut context = context();
                loop {
                    let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((number, item)) = job else { return };
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let done = catch_unwind(AssertUnwindSafe(|| work(&mut context, item)));
                    if sender.send((number, done)).is_err() {
                        return;
                    }
                }
            })
        };
        let threads = (0..threads.max(1)).map(spawn).collect();
        Self { jobs: Some(jobs), results, threads, stop, pending: VecDeque::new(), first: 0 }
    }

    /// Gives an item to the threads.
    pub(super) fn give(&mut self, item: T) {
        if let Some(jobs) = &self.jobs {
            let sent = jobs.send((self.first + self.pending.len(), item));
            assert!(sent.is_ok(), "the receiver lives in threads that only end with the pool");
            self.pending.push_back(None);
        }
    }

    /// Whether a result should be taken before the next item is given.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= self.threads.len() * WINDOW
    }

    /// The next result in order; none when nothing is under way.
    pub(super) fn take(&mut self) -> Option<U> {
        loop {
            if let Some(outcome) = self.pending.front_mut()?.take() {
                self.pending.pop_front();
                self.first += 1;
                return Some(outcome.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            let Ok((number, outcome)) = self.results.recv() else {
                unreachable!("a thread answers every job, even when it panics")
            };
            if let Some(slot) = self.pending.get_mut(number - self.first) {
                *slot = Some(outcome);
            }
        }
    }
}

impl<T, U> Drop for Pool<T, U> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // Panics of the work have been caught.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order() {
        for threads in [0, 1, 2, 7] {
            let mut pool = Pool::new(
                threads,
                || 10u64,
                |ten, n: u64| {
                    if n.is_multiple_of(2) {
                        thread::sleep(Duration::from_micros(200));
                    }
                    n * *ten
                },
            );
            let mut got = Vec::new();
            for n in 0..100 {
                if pool.is_full() {
                    got.extend(pool.take());
                }
                pool.give(n);
            }
            got.extend(std::iter::from_fn(|| pool.take()));
            assert_eq!(got, (0..100).map(|n| n * 10).collect::<Vec<_>>());
        }
    }

    /// A panic in a thread is neither lost (then nothing would panic here) nor waited for for ever.
    #[test]
    #[should_panic(expected = "seven")]
    fn a_panic_reaches_the_caller() {
        let mut pool = Pool::new(2, || (), |(), n: u64| assert!(n != 7, "seven"));
        (0..20).for_each(|n| pool.give(n));
        while pool.take().is_some() {}
    }

    #[test]
    fn a_pool_may_be_dropped_at_any_time() {
        let mut pool = Pool::new(2, || (), |(), n: u64| n);
        (0..20).for_each(|n| pool.give(n));
        drop(pool);
    }
}
