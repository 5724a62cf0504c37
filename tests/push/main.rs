//! Disks and kernels as container images in registries: a real one, and one that misbehaves.
//!
//! Invariants: what was pushed is judged by curl, tar, sha256sum, Python, buildah and qemu-img;
//! whatever a registry does, a test ends within seconds.

#![cfg(all(feature = "cli", unix))]
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "../support/registry.rs"]
mod docker;
mod faulty;
mod index;
mod real;
#[path = "../support/web.rs"]
mod server;
#[path = "../support/shell.rs"]
mod shell;
mod verb;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use sha2::{Digest as _, Sha256};
use vmimage::engine::base::{ByteSource, Error, Padded, Scratch, SectorSource, Silent, Work};
use vmimage::fetch::{Client, Guard, Proxies, Rules, Times};
use vmimage::oci::{Credentials, Reference, Registry};
use vmimage::publish::container::{self, Compression, File, Params};
use vmimage::publish::volume::Published;

const LABEL: (&str, &str) = ("vmimage.dev/content-hash", "0011");

/// 3 MB that no compressor makes shorter, then zeros: 5 MiB.
fn disk() -> Arc<dyn SectorSource> {
    let mut state = 1_u64;
    let mut next = || {
        // The generator xorshift64 (Marsaglia, "Xorshift RNGs").
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let body: Vec<u8> = (0..3_000_000).map(|_| next()).collect();
    Arc::new(Padded::new(Arc::new(ByteSource::new(body)), 5 << 20).unwrap())
}

fn bytes(source: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes).unwrap();
    bytes
}

fn sha(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A client that does not give up because the machine is busy.
fn client(bundles: Vec<Vec<u8>>) -> Client {
    let minute = Duration::from_secs(60);
    timed(Times { connect: minute, idle: minute, total: minute }, bundles)
}

fn timed(times: Times, bundles: Vec<Vec<u8>>) -> Client {
    client_with(Rules { ranges: vec!["127.0.0.1".parse().unwrap()], ..plain() }, times, bundles)
}

fn plain() -> Rules {
    Rules { plain_http: true, ..Rules::default() }
}

fn client_with(rules: Rules, times: Times, bundles: Vec<Vec<u8>>) -> Client {
    let client = Client::new(Guard::new(rules), Proxies::default(), times, &bundles).unwrap();
    client.pausing(Duration::from_millis(10))
}

fn user(password: &str) -> Option<Credentials> {
    Some(Credentials { user: "user".to_owned(), password: password.to_owned() })
}

/// A registry without TLS.
fn registry(host: &str, credentials: Option<Credentials>) -> Registry {
    registry_by(&client(Vec::new()), host, credentials)
}

fn registry_by(client: &Client, host: &str, credentials: Option<Credentials>) -> Registry {
    let image: Reference = format!("{host}/team/disk").parse().unwrap();
    Registry::new(&image, client, credentials, true).pushing()
}

/// What is pushed, unless a test says otherwise.
#[derive(Clone, Debug)]
struct Wanted {
    architecture: &'static str,
    compression: Compression,
    tags: Vec<String>,
    index: bool,
    threads: usize,
}

impl Wanted {
    fn of(tags: &[&str]) -> Self {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let compression = Compression::Gzip;
        Self { architecture: "amd64", compression, tags, index: false, threads: 0 }
    }

    fn push(&self, files: &[File], registry: &Registry) -> Result<Published, Error> {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(directory.path(), 64 << 20);
        let labels = [(LABEL.0.to_owned(), LABEL.1.to_owned())];
        let params = Params {
            architecture: self.architecture,
            compression: self.compression,
            env: &[("A".to_owned(), "b c".to_owned())],
            labels: &labels,
            tags: &self.tags,
            index: self.index,
        };
        let work = Work { threads: self.threads, progress: &Silent };
        let published = container::publish(files, &params, registry, &scratch, &work);
        assert_eq!(scratch.left(), 64 << 20, "temporary files are left");
        published
    }
}

/// The disk in qcow2, as a file of an image.
fn qcow2(directory: &Path) -> File {
    let scratch = Scratch::new(directory, 64 << 20);
    let work = Work { threads: 0, progress: &Silent };
    File::new(container::QCOW2_DISK, container::qcow2(&*disk(), &scratch, &work).unwrap())
}

/// A file that a test writes and tools read.
fn write(directory: &Path, name: &str, bytes: &[u8]) -> String {
    let path = directory.join(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}
