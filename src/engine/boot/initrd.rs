//! The initrd that a document describes: given, taken out of a tree, or built of files.
//!
//! Invariant: what is built follows from the document, its inputs and our init's bytes.

use super::place::{Ground, Trees};
use super::put;
use crate::engine::base::tree::{Meta, Missing, Tree, TreePath};
use crate::engine::base::{Content, Error, Kind, Origin};
use crate::engine::bootloader::assets::Set;
use crate::engine::ids::Ids;
use crate::engine::initrd::{self, Compression, Extra, Member, modules, newc};
use crate::engine::{Env, Given, contents};
use crate::guest::{Config, Medium, OnExit as Exit};
use crate::manifest::FieldPath;
use crate::manifest::types::{
    App, Architecture, Init, Initrd, InitrdBuild, InitrdCompression, Modules, OnExit,
};

/// Where Linux looks before it can unpack anything.
const EARLY: [&[u8]; 2] = [b"kernel/x86/microcode", b"kernel/firmware/acpi"];

/// The bytes of `initrd`.
pub(super) fn content(
    initrd: &Initrd,
    ground: &Ground<'_>,
    trees: &Trees<'_>,
    ids: Option<&Ids>,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Content, Error> {
    let path = FieldPath::new("spec.boot.initrd");
    if let Some(from) = &initrd.from {
        let origin = Origin::new(path.member("from").as_str());
        return trees.file(&ground.find(from, &origin)?, &origin);
    }
    match &initrd.build {
        Some(build) => built(build, ids, given, env),
        None => given.content(&path.member("source")),
    }
}

fn built(
    build: &InitrdBuild,
    ids: Option<&Ids>,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Content, Error> {
    let path = FieldPath::new("spec.boot.initrd.build");
    let origin = Origin::new(path.as_str());
    let mut tree = contents::tree_of(&build.contents, &path, ids, given, env)?;
    if let Some(modules) = &build.modules {
        let origin = Origin::new(path.member("modules").as_str());
        chosen(modules, &mut tree, env).map_err(|e| e.at(&origin))?;
    }
    if build.init == Init::Builtin {
        builtin(build, &mut tree, given, env, &origin)?;
    }
    if build.ca_bundle {
        let path = TreePath::new(initrd::CA_BUNDLE.as_bytes())?;
        put(&mut tree, &path, super::text(certificates().as_bytes()), env.time, &origin)?;
    }
    let early = early(&mut tree, env, &origin)?;
    let params = newc::Params::default();
    let compression = match build.compression {
        InitrdCompression::None => Compression::None,
        InitrdCompression::Gzip => Compression::Gzip,
        InitrdCompression::Xz => Compression::Xz,
        InitrdCompression::Zstd => Compression::Zstd,
        InitrdCompression::Lz4 => Compression::Lz4,
    };
    let main = Member::build(&tree, &params, compression, env.scratch, &env.work);
    let main = main.map_err(|e| e.at(&origin))?;
    let early = early.map(|early| initrd::early(&early, newc::Times::Own)).transpose()?;
    let members = early.into_iter().chain([main]).collect();
    Ok(Content::Sectors(initrd::join(members).map_err(|e| e.at(&origin))?))
}

/// Keeps what is chosen of `/lib/modules` and, if it is wanted, of `/lib/firmware`.
fn chosen(wanted: &Modules, tree: &mut Tree, env: &Env<'_>) -> Result<(), Error> {
    let origin = Origin::new("spec.boot.initrd.build.modules");
    // Where /lib is a link to usr/lib, packages of today have their modules behind it.
    let place = |tree: &Tree, path: &[u8]| -> Result<Option<TreePath>, Error> {
        for root in [&b""[..], b"usr/"] {
            let path = TreePath::new(&[root, path].concat())?;
            if tree.directory(&path).is_some() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    };
    let Some(root) = place(tree, b"lib/modules")? else {
        let message =
            "the contents have no /lib/modules to choose from; add the kernel's package or image";
        return Err(Error::new(Kind::Document, message));
    };
    let whole = tree.clone();
    let kernel = modules::Kernel::open(&whole, &root, None)?;
    let selection = kernel.select(&wanted.names, &env.work)?;
    remove(tree, &root);
    modules::place(&selection, modules::Packing::Unpack, tree, env.time, &origin)?;
    if wanted.firmware
        && let Some(root) = place(&whole, b"lib/firmware")?
    {
        remove(tree, &root);
        modules::firmware(&selection, (&whole, &root), tree, env.time, &origin)?;
    }
    Ok(())
}

fn remove(tree: &mut Tree, path: &TreePath) {
    let Some((parent, name)) = path.split() else { return };
    if let Some(parent) = tree.directory(&parent) {
        tree.remove(parent, name);
    }
}

/// Our init, its configuration and the devices it needs before it mounts any.
fn builtin(
    build: &InitrdBuild,
    tree: &mut Tree,
    given: &Given<'_>,
    env: &Env<'_>,
    origin: &Origin,
) -> Result<(), Error> {
    let Some(app) = &build.app else { return Ok(()) };
    let name = format!("vmimage-init.{}", given.spec.architecture.as_str());
    let set = match given.spec.architecture {
        Architecture::Arm64 => Set::InitArm64,
        _ => Set::Init,
    };
    let program = env.assets.read(set, &name).map_err(|e| e.at(origin))?;
    initrd::place(tree, Extra::Devices, env.time, origin)?;
    let path = TreePath::new(b"init")?;
    let file = Extra::File { path, content: Content::Bytes(program), mode: 0o755 };
    initrd::place(tree, file, env.time, origin)?;
    let config = config(app, build, given)?;
    let path = TreePath::new(Config::PATH.trim_start_matches('/').as_bytes())?;
    put(tree, &path, super::text(config.to_text().as_bytes()), env.time, origin)
}

fn config(app: &App, build: &InitrdBuild, given: &Given<'_>) -> Result<Config, Error> {
    let mut config = Config {
        modules: format!("/{}", modules::LOAD_ORDER),
        app: app.path.to_string(),
        arg: app.arguments.clone(),
        env: app.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        on_exit: match app.on_exit {
            OnExit::Reboot => Exit::Reboot,
            OnExit::PowerOff => Exit::PowerOff,
            OnExit::Restart => Exit::Restart,
        },
        stop_wait: app.stop_seconds,
        dhcp_wait: app.network_seconds,
        ..Config::default()
    };
    if let Some(iso) = &given.spec.iso {
        let label = iso.volume_id.clone().unwrap_or_default();
        config.iso = vec![Medium { path: "/iso".to_owned(), label }];
    }
    if let [first, ..] = config.read(&build.settings).as_slice() {
        let origin = Origin::new("spec.boot.initrd.build.settings");
        let message = format!("line {}: {}", first.line, first.error);
        return Err(Error::new(Kind::Document, message).at(&origin));
    }
    Ok(config)
}

/// Takes what must not be compressed out of `tree`.
fn early(tree: &mut Tree, env: &Env<'_>, origin: &Origin) -> Result<Option<Tree>, Error> {
    let mut early = Tree::new(Meta::directory(env.time), origin.clone());
    let mut found = false;
    for place in EARLY {
        let path = TreePath::new(place)?;
        let (Some(from), Some((parent, _))) = (tree.directory(&path), path.split()) else {
            continue;
        };
        let made = Missing::Make(Meta::directory(env.time));
        let into = early.directory_at(&path, made, origin)?;
        early.graft(tree, from, into)?;
        remove(tree, &path);
        for count in (1..=parent.names().len()).rev() {
            let above = TreePath::from_names(parent.names().get(..count).unwrap_or_default());
            let empty = tree.directory(&above).and_then(|node| tree.node(node).entries());
            if empty.is_some_and(std::collections::BTreeMap::is_empty) {
                remove(tree, &above);
            }
        }
        found = true;
    }
    Ok(found.then_some(early))
}

/// The roots that Mozilla trusts, as PEM.
fn certificates() -> String {
    use base64::Engine as _;
    let mut text = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = base64::engine::general_purpose::STANDARD.encode(certificate);
        for line in encoded.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}
