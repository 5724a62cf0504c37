//! A directory of what was made once and costs time: by the digest of what it is made of.
//!
//! Not for what comes from elsewhere. Whoever writes to the directory decides what builds take from
//! it. Invariants: with a cache and without, the bytes are the same; an entry that is not what was
//! put there is made again; no failure of the cache is one of a build; what is in it stays below
//! its limit.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::Error;

/// The name of our files begins so; others in the directory are left alone.
const PREFIX: &str = "vmimage-1-";
/// What is unfinished has this at the end.
const UNFINISHED: &str = ".partial";
/// An unfinished file that is older was left by a process that is gone.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Bytes of a SHA-256.
const DIGEST: usize = 32;

/// What was made before.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: Arc<Path>,
    limit: u64,
}

/// Names of unfinished files of this process.
static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Cache {
    /// Bytes that all entries have together, unless more is said.
    pub const LIMIT: u64 = 256 << 20;

    /// In `directory`, which is made; its entries have at most `limit` bytes together.
    pub fn open(directory: &Path, limit: u64) -> Result<Self, Error> {
        let failed = |e| Error::io(format!("making the cache {}", directory.display()), e);
        fs::create_dir_all(directory).map_err(failed)?;
        Ok(Self { directory: directory.into(), limit })
    }

    /// What was made by `how` of `parts`, or `make` makes it now. `how` tells the method and all its
    /// settings.
    pub fn get<E>(
        &self,
        how: &str,
        parts: &[&[u8]],
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let key = key(how, parts);
        let path = self.directory.join(format!("{PREFIX}{}", hex::encode(key)));
        if let Some(found) = self.read(&path, &key) {
            return Ok(found);
        }
        let made = make()?;
        // A full disk or a directory that may not be written costs time and nothing else.
        if self.write(&path, &key, &made).is_ok() {
            self.shrink(&path);
        }
        Ok(made)
    }

    /// An entry: the digest of its key and its bytes, then its bytes.
    fn read(&self, path: &Path, key: &[u8]) -> Option<Vec<u8>> {
        let mut file = fs::File::open(path).ok()?;
        let most = self.limit.saturating_add(DIGEST as u64);
        let len = file.metadata().ok().filter(|meta| meta.is_file() && meta.len() <= most)?.len();
        let mut digest = [0; DIGEST];
        file.read_exact(&mut digest).ok()?;
        let mut bytes = Vec::with_capacity(usize::try_from(len).ok()?);
        file.take(most).read_to_end(&mut bytes).ok()?;
        (seal(key, &bytes) == digest).then_some(bytes)
    }

    fn write(&self, path: &Path, key: &[u8], bytes: &[u8]) -> std::io::Result<()> {
        if bytes.len() as u64 > self.limit {
            return Ok(());
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.directory.join(format!(
            "{PREFIX}{}.{}.{number}{UNFINISHED}",
            hex::encode(key),
            process::id()
        ));
        let written = || {
            let mut file = fs::File::create_new(&unfinished)?;
            file.write_all(&seal(key, bytes))?;
            file.write_all(bytes)?;
            // Not synced: what a crash leaves of it is seen by its digest.
            fs::rename(&unfinished, path)
        };
        written().inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    /// Removes the oldest entries while there is too much, but for the one just written. Another
    /// process may do the same at this moment: then one more is made again.
    fn shrink(&self, own: &Path) {
        let Ok(entries) = fs::read_dir(&*self.directory) else { return };
        let mut kept: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let Ok(meta) = entry.metadata() else { continue };
            let age = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if !name.ends_with(UNFINISHED) {
                kept.push((age, entry.path(), meta.len()));
            } else if age.elapsed().is_ok_and(|age| age > ABANDONED) {
                drop(fs::remove_file(entry.path()));
            }
        }
        let mut sum: u64 = kept.iter().map(|(_, _, len)| len).sum();
        kept.sort();
        for (_, path, len) in kept.into_iter().filter(|(_, path, _)| path != own) {
            if sum <= self.limit {
                return;
            }
            drop(fs::remove_file(&path));
            sum -= len;
        }
    }
}

/// The digest of all that decides the bytes: other versions of this program may make others.
fn key(how: &str, parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut all = Sha256::new();
    for part in [env!("CARGO_PKG_VERSION").as_bytes(), how.as_bytes()].iter().chain(parts) {
        all.update((part.len() as u64).to_le_bytes());
        all.update(part);
    }
    all.finalize().into()
}

/// What stands before the bytes of an entry.
fn seal(key: &[u8], bytes: &[u8]) -> [u8; DIGEST] {
    Sha256::new().chain_update(key).chain_update(bytes).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::thread;

    use super::*;

    /// What the cache gives, and whether it had to be made.
    fn ask(cache: &Cache, how: &str, part: &[u8], made: &[u8]) -> (Vec<u8>, bool) {
        let mut new = false;
        let make = || {
            new = true;
            Ok::<_, Infallible>(made.to_vec())
        };
        (cache.get(how, &[part], make).unwrap(), new)
    }

    fn only(directory: &Path) -> PathBuf {
        let mut files: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn made_once_for_each_key() {
        let desk = tempfile::tempdir().unwrap();
        let cache = Cache::open(&desk.path().join("a/b"), 1 << 20).unwrap();
        assert_eq!(ask(&cache, "x", b"1", b"one"), (b"one".to_vec(), true));
        assert_eq!(ask(&cache, "x", b"1", b"other"), (b"one".to_vec(), false));
        assert_eq!(ask(&cache, "x", b"2", b"two"), (b"two".to_vec(), true));
        assert_eq!(ask(&cache, "y", b"1", b"three"), (b"three".to_vec(), true));
        // Where one part ends counts.
        let ends = |parts: &[&[u8]]| key("x", parts);
        assert_ne!(ends(&[b"ab", b"c"]), ends(&[b"a", b"bc"]));
    }

    #[test]
    fn what_is_damaged_is_made_again_at_every_byte() {
        let desk = tempfile::tempdir().unwrap();
        let cache = Cache::open(desk.path(), 1 << 20).unwrap();
        ask(&cache, "x", b"1", b"one");
        let path = only(desk.path());
        let good = fs::read(&path).unwrap();
        assert_eq!(good.len(), 32 + 3);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(ask(&cache, "x", b"1", b"one"), (b"one".to_vec(), true), "byte {at}");
            assert_eq!(fs::read(&path).unwrap(), good);
            fs::write(&path, &good[..at]).unwrap();
            assert!(ask(&cache, "x", b"1", b"one").1, "{at} bytes");
        }
        fs::write(&path, [&good[..], b"x"].concat()).unwrap();
        assert!(ask(&cache, "x", b"1", b"one").1);
        // The entry of another key, under this one's name.
        ask(&cache, "x", b"2", b"two");
        for entry in fs::read_dir(desk.path()).unwrap() {
            fs::write(entry.unwrap().path(), &good).unwrap();
        }
        assert_eq!(ask(&cache, "x", b"2", b"two"), (b"two".to_vec(), true));
    }

    #[test]
    fn the_oldest_go_and_files_of_others_stay() {
        let desk = tempfile::tempdir().unwrap();
        fs::write(desk.path().join("mine"), [0; 4096]).unwrap();
        let abandoned = desk.path().join("vmimage-1-00.1.0.partial");
        let early = SystemTime::now() - ABANDONED * 2;
        fs::File::create(&abandoned).unwrap().file().set_modified(early).unwrap();
        let cache = Cache::open(desk.path(), 1000).unwrap();
        for number in 0..20u8 {
            ask(&cache, "x", &[number], &[number; 300]);
            assert!(!ask(&cache, "x", &[number], b"").1, "the newest stays");
            // The clock of files has steps of some milliseconds.
            thread::sleep(Duration::from_millis(10));
        }
        // 332 bytes each: three are 996.
        for number in 17..20 {
            assert!(!ask(&cache, "x", &[number], b"").1, "{number}");
        }
        assert_eq!(fs::read_dir(desk.path()).unwrap().count(), 3 + 1);
        assert!(!abandoned.exists());
        // What is larger than all may be is not kept, and nothing goes for it.
        assert!(ask(&cache, "x", b"large", &[0; 2000]).1);
        assert_eq!(fs::read_dir(desk.path()).unwrap().count(), 3 + 1);
    }

    #[test]
    fn many_at_once_get_the_same() {
        let desk = tempfile::tempdir().unwrap();
        let cache = Cache::open(desk.path(), 4000).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..200u32 {
                        let number = (round % 7) as u8;
                        let wanted = vec![number; 500 + usize::from(number)];
                        assert_eq!(ask(&cache, "x", &[number], &wanted).0, wanted);
                    }
                });
            }
        });
        let unfinished = |path: &Path| path.to_str().unwrap().ends_with(UNFINISHED);
        let files = fs::read_dir(desk.path()).unwrap().map(|entry| entry.unwrap().path());
        assert!(!files.into_iter().any(|path| unfinished(&path)));
    }

    #[test]
    fn a_directory_that_is_gone_costs_nothing_but_time() {
        let desk = tempfile::tempdir().unwrap();
        let cache = Cache::open(&desk.path().join("gone"), 4000).unwrap();
        fs::remove_dir(desk.path().join("gone")).unwrap();
        assert_eq!(ask(&cache, "x", b"1", b"one"), (b"one".to_vec(), true));
        fs::write(desk.path().join("gone"), b"a file").unwrap();
        assert_eq!(ask(&cache, "x", b"1", b"one"), (b"one".to_vec(), true));
        let error = Cache::open(&desk.path().join("gone"), 1).unwrap_err().to_string();
        assert!(error.contains("making the cache"), "{error}");
    }
}
