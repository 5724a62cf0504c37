//! Flags about sources: which servers may be reached, what stands for objects of a cluster.
//!
//! Reaches nothing. Invariant: a pod is restricted, whatever its flags; a desk is not unless asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::fetch::{HostRule, Range, Rules};
use crate::sources::{Mounts, Settings};
use crate::units::{ByteSize, parse_size};

/// Fetching one input on a desk may take so long.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Flags of a desk and of a build pod.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sources")]
pub(super) struct ReachFlags {
    /// Let sources lie on this host although its name or address is private; *.example.com: all below
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(super) allow_source_host: Vec<HostRule>,
    /// Let sources have these addresses, such as 10.1.0.0/16
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(super) allow_source_cidr: Vec<Range>,
    /// Never reach these addresses
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(super) deny_source_cidr: Vec<Range>,
    /// Let sources be fetched over http without encryption
    #[arg(long)]
    pub(super) allow_source_http: bool,
    /// Fetch through this HTTP proxy [default: HTTPS_PROXY and HTTP_PROXY]
    #[arg(long, value_name = "URL")]
    pub(super) source_proxy: Option<String>,
    /// Fetch without that proxy from these names and addresses
    #[arg(long, value_name = "LIST", default_value = "", requires = "source_proxy")]
    #[arg(hide_default_value = true)]
    pub(super) source_no_proxy: String,
    /// Trust the authorities in this file, too (PEM)
    #[arg(long, value_name = "FILE")]
    pub(super) source_ca: Option<PathBuf>,
    /// Look here first for files of boot loaders, as grub/i386-pc/boot.img; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(super) boot_assets: Vec<PathBuf>,
    /// Directory for temporary files [default: TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub(super) scratch: Option<PathBuf>,
    /// Bytes that temporary files may have together
    #[arg(long, value_name = "SIZE", default_value = "64Gi", value_parser = size)]
    pub(super) scratch_limit: ByteSize,
}

/// Flags of a desk.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sources")]
pub(super) struct DeskFlags {
    /// A directory that stands for a ConfigMap, a file for each key; may be repeated
    #[arg(long, value_name = "NAME=DIR", value_parser = pair)]
    pub(super) configmap: Vec<(String, PathBuf)>,
    /// A directory that stands for a Secret; may be repeated
    #[arg(long, value_name = "NAME=DIR", value_parser = pair)]
    pub(super) secret: Vec<(String, PathBuf)>,
    /// A directory that stands for a volume; may be repeated
    #[arg(long, value_name = "NAME=DIR", value_parser = pair)]
    pub(super) pvc: Vec<(String, PathBuf)>,
    /// Pull images that name no pull secret with the credentials in this file, such as
    /// ~/.docker/config.json; no credential helper is run
    #[arg(long, value_name = "FILE")]
    pub(super) docker_config: Option<PathBuf>,
    /// Keep to the rules of a cluster: public servers over https, and what the flags above allow
    #[arg(long)]
    pub(super) restrict_sources: bool,
    /// Keep what costs much time in this directory and take it from there: GRUB's core images
    #[arg(long, value_name = "DIR")]
    pub(super) cache: Option<PathBuf>,
    #[command(flatten)]
    pub(super) reach: ReachFlags,
}

fn size(text: &str) -> Result<ByteSize, String> {
    parse_size(text).map_err(|e| e.to_string())
}

fn pair(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, directory)) if !name.is_empty() && !directory.is_empty() => {
            Ok((name.to_owned(), directory.into()))
        }
        _ => Err(format!("{text:?} is not of the form NAME=DIR")),
    }
}

/// `SET=DIGEST`.
pub(super) fn assigned(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((set, digest)) if !set.is_empty() && digest.starts_with("sha256:") => {
            Ok((set.to_owned(), digest.to_owned()))
        }
        _ => Err(format!("{text:?} is not of the form SET=sha256:DIGEST")),
    }
}

impl ReachFlags {
    /// The settings of a build pod whose objects are mounted below `root`.
    pub(super) fn in_pod(self, root: Option<PathBuf>, patience: Option<Duration>) -> Settings {
        self.settings(Place {
            everything: false,
            root,
            mounts: Mounts::default(),
            patience,
            docker_config: None,
            cache: None,
        })
    }

    fn settings(self, place: Place) -> Settings {
        Settings {
            rules: Rules {
                everything: place.everything,
                plain_http: place.everything || self.allow_source_http,
                hosts: self.allow_source_host,
                ranges: self.allow_source_cidr,
                deny_ranges: self.deny_source_cidr,
            },
            proxy: self.source_proxy,
            no_proxy: self.source_no_proxy,
            ca: self.source_ca,
            docker_config: place.docker_config,
            root: place.root,
            mounts: place.mounts,
            boot_assets: self.boot_assets,
            cache: place.cache,
            scratch: self.scratch.unwrap_or_else(std::env::temp_dir),
            scratch_limit: self.scratch_limit.get(),
            patience: place.patience.unwrap_or(PATIENCE),
        }
    }
}

/// What differs between a pod and a desk.
struct Place {
    everything: bool,
    root: Option<PathBuf>,
    mounts: Mounts,
    patience: Option<Duration>,
    docker_config: Option<PathBuf>,
    cache: Option<PathBuf>,
}

impl DeskFlags {
    /// The settings of a desk.
    pub(super) fn settings(&self) -> Settings {
        let Self { configmap, secret, pvc, docker_config, restrict_sources, cache, reach } =
            self.clone();
        let named = |pairs: Vec<(String, PathBuf)>| pairs.into_iter().collect::<BTreeMap<_, _>>();
        let mounts = Mounts {
            config_maps: named(configmap),
            secrets: named(secret),
            claims: named(pvc),
            ..Mounts::default()
        };
        let everything = !restrict_sources;
        reach.settings(Place {
            everything,
            root: None,
            mounts,
            patience: None,
            docker_config,
            cache,
        })
    }
}
