//! What a desk or an operator says about sources, and the sources that follow from it.
//!
//! Parses no command line. Invariant: without a word from the operator a build reaches public
//! servers over https only.

use std::path::PathBuf;
use std::time::Duration;

use fs_err as fs;

use super::{Mounts, Sources};
use crate::engine::base::{Cache, Error, Scratch};
use crate::engine::bootloader::assets::Assets;
use crate::fetch::{Client, Guard, Proxies, Rules, Times};

/// Settings as they were given.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which servers may be reached.
    pub rules: Rules,
    /// The proxy; omitted: what the environment says.
    pub proxy: Option<String>,
    /// Who is asked without the proxy.
    pub no_proxy: String,
    /// A file of further certificates (PEM).
    pub ca: Option<PathBuf>,
    /// Credentials of images that name no pull secret, on a desk.
    pub docker_config: Option<PathBuf>,
    /// Where the kubelet mounted objects, in a build pod.
    pub root: Option<PathBuf>,
    /// Directories that stand for objects, on a desk.
    pub mounts: Mounts,
    /// Where temporary files go.
    pub scratch: PathBuf,
    /// How many bytes of them there may be.
    pub scratch_limit: u64,
    /// Directories with files of boot loaders, before those of the distribution.
    pub boot_assets: Vec<PathBuf>,
    /// A directory for what was made with much work, which later builds take from there.
    pub cache: Option<PathBuf>,
    /// How long fetching one input may take.
    pub patience: Duration,
}

impl Settings {
    /// The sources of a document; files of a desk are looked for in `files`.
    pub fn open(&self, files: Option<PathBuf>) -> Result<Sources, Error> {
        let proxies = match &self.proxy {
            Some(proxy) => Proxies::new(proxy, &self.no_proxy)?,
            None => Proxies::from_environment(|name| std::env::var(name).ok())?,
        };
        let context = |e| Error::io("reading the certificates of --source-ca", e);
        let ca = self.ca.as_ref().map(fs::read).transpose().map_err(context)?;
        let times = Times { total: self.patience, ..Times::default() };
        let bundles: Vec<_> = ca.into_iter().collect();
        let client = Client::new(Guard::new(self.rules.clone()), proxies, times, &bundles)?;
        let mounts = match &self.root {
            Some(root) => Mounts::below(root)?,
            None => self.mounts.clone(),
        };
        let scratch = Scratch::new(&self.scratch, self.scratch_limit);
        let docker_config = self.docker_config.clone();
        let cache = self.cache.as_ref().map(|path| Cache::open(path, Cache::LIMIT)).transpose()?;
        let assets = Assets::new(self.boot_assets.clone()).kept(cache);
        Ok(Sources { mounts, files, client, scratch, docker_config, assets })
    }
}
