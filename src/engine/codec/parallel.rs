//! Parallel work on disjoint parts of one buffer: how readers unpack a large read.
//!
//! Does no work of its own. Invariants: the error that is returned is that of the first failing
//! job in order; contexts (decompressors) are made once per thread and kept; readers that are
//! called by several threads at once do not start more threads than the machine offers.

use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::engine::base::Error;

/// Contexts for jobs, one per thread, kept from one call to the next.
pub struct Pool<C> {
    threads: usize,
    /// Threads at work in `run` now, over all callers.
    busy: AtomicUsize,
    idle: Mutex<Vec<C>>,
}

impl<C> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<C> Pool<C> {
    /// A pool for this many threads; 0 means as many as the machine offers.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let threads = match threads {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            wanted => wanted,
        };
        Self { threads, busy: AtomicUsize::new(0), idle: Mutex::new(Vec::new()) }
    }
}

impl<C: Send> Pool<C> {
    /// Calls `work` for every job, in any order, each thread with a context of its own made by
    /// `context`. This thread works, too; others are started only if there is more than one job.
    pub fn run<J: Send>(
        &self,
        jobs: Vec<J>,
        context: impl Fn() -> Result<C, Error> + Sync,
        work: impl Fn(&mut C, J) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        let wanted = jobs.len().min(self.threads);
        let before = self.busy.fetch_add(wanted, Ordering::Relaxed);
        let _done = Done { busy: &self.busy, count: wanted };
        let helpers = wanted.min(self.threads.saturating_sub(before)).saturating_sub(1);
        let queue =
            Queue { jobs: Mutex::new(jobs.into_iter().enumerate()), failed: Mutex::new(None) };
        let serve = || self.serve(&queue, &context, &work);
        if helpers == 0 {
            serve();
        } else {
            thread::scope(|scope| {
                for _ in 0..helpers {
                    scope.spawn(serve);
                }
                serve();
            });
        }
        match queue.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }

    /// One thread: takes jobs until there are none, or until one fails anywhere. Jobs are handed
    /// out in order, so all jobs before a failed one are worked off: its error is kept only if
    /// none of them fails.
    fn serve<J, I: Iterator<Item = (usize, J)>>(
        &self,
        queue: &Queue<I>,
        context: &impl Fn() -> Result<C, Error>,
        work: &impl Fn(&mut C, J) -> Result<(), Error>,
    ) {
        let mut held = None;
        while let Some((number, job)) = queue.next() {
            let result = match held.take().or_else(|| lock(&self.idle).pop()) {
                Some(ready) => Ok(ready),
                None => context(),
            };
            let result = result.and_then(|ready| work(held.insert(ready), job));
            if let Err(error) = result {
                queue.fail(number, error);
            }
        }
        lock(&self.idle).extend(held);
    }
}

/// Jobs that wait, and the failure of the first one in order that failed.
struct Queue<I> {
    jobs: Mutex<I>,
    failed: Mutex<Option<(usize, Error)>>,
}

impl<J, I: Iterator<Item = (usize, J)>> Queue<I> {
    fn next(&self) -> Option<(usize, J)> {
        if lock(&self.failed).is_some() { None } else { lock(&self.jobs).next() }
    }

    fn fail(&self, number: usize, error: Error) {
        let mut failed = lock(&self.failed);
        if failed.as_ref().is_none_or(|(first, _)| number < *first) {
            *failed = Some((number, error));
        }
    }
}

struct Done<'a> {
    busy: &'a AtomicUsize,
    count: usize,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.busy.fetch_sub(self.count, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::base::Kind;

    #[test]
    fn every_part_is_filled_and_contexts_are_kept() {
        for threads in [0, 1, 2, 5] {
            let pool = Pool::new(threads);
            let made = AtomicUsize::new(0);
            for round in 0..3u8 {
                let mut buffer = vec![0u8; 1000];
                let jobs: Vec<_> = buffer.chunks_mut(7).enumerate().collect();
                let context = || Ok(made.fetch_add(1, Ordering::Relaxed));
                let work = |_: &mut usize, (n, part): (usize, &mut [u8])| {
                    part.fill(n as u8 ^ round);
                    Ok(())
                };
                pool.run(jobs, context, work).unwrap();
                let right = |(at, byte): (usize, &u8)| *byte == (at / 7) as u8 ^ round;
                assert!(buffer.iter().enumerate().all(right));
            }
            assert!(made.into_inner() <= pool.threads, "{threads}");
            assert_eq!(pool.busy.into_inner(), 0);
        }
    }

    #[test]
    fn the_first_error_in_order_is_returned() {
        for threads in [1, 2, 5] {
            let pool = Pool::<()>::new(threads);
            let ran = AtomicUsize::new(0);
            let work = |(): &mut (), n: usize| {
                ran.fetch_add(1, Ordering::Relaxed);
                match n {
                    10 => {
                        thread::sleep(Duration::from_millis(5));
                        Err(Error::new(Kind::Io, "ten"))
                    }
                    11 => Err(Error::new(Kind::Io, "eleven")),
                    _ => Ok(()),
                }
            };
            let error = pool.run((0..10_000).collect(), || Ok(()), work).unwrap_err();
            assert_eq!(error.to_string(), "ten", "{threads}");
            assert!(ran.into_inner() < 10_000);
        }
        let fail = || Err(Error::new(Kind::Io, "no context"));
        assert!(Pool::<()>::new(3).run(vec![1, 2], fail, |(), _| Ok(())).is_err());
        assert!(Pool::<()>::new(3).run(Vec::<u8>::new(), fail, |(), _| Ok(())).is_ok());
    }
}
