//! Kernel, initrd and command line as files beside the disk.
//!
//! Invariant: the command line is what the document says, with the ids of its disk.

use super::grub::Scene;
use super::place::{Ground, Trees};
use super::{initrd, kernel};
use crate::engine::base::tree::Tree;
use crate::engine::base::{Content, Error, Origin};
use crate::engine::ids::Ids;
use crate::engine::transform::netbsd::Report;
use crate::engine::{Env, Given};
use crate::manifest::types::Disk;

/// What a hypervisor loads by itself.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Direct {
    /// The kernel.
    pub(in crate::engine) kernel: Content,
    /// What became of the kernel's drivers, if it was changed.
    pub(in crate::engine) report: Option<Report>,
    /// Its initrd.
    pub(in crate::engine) initrd: Option<Content>,
    /// Its command line.
    pub(in crate::engine) command_line: String,
}

/// The files of a document that boots without a loader; none for others.
pub(in crate::engine) fn direct(
    disk: Option<&Disk>,
    ids: Option<&Ids>,
    trees: &mut [Option<Tree>],
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Option<Direct>, Error> {
    let Some(boot) = given.spec.boot.as_ref().filter(|boot| boot.direct.is_some()) else {
        return Ok(None);
    };
    let Some(wanted) = &boot.kernel else { return Ok(None) };
    let ground = || disk.map_or_else(Ground::iso, Ground::disk);
    let scene = Scene { given, env, ids, ground: ground() };
    let trees = Trees(trees);
    let (kernel, report) = kernel::changed(wanted, &scene.ground, &trees, given, env)?;
    let initrd = boot.initrd.as_ref();
    let initrd =
        initrd.map(|wanted| initrd::content(wanted, &scene.ground, &trees, ids, given, env));
    let command_line = scene.fill(&boot.command_line, &Origin::new("spec.boot.commandLine"))?;
    Ok(Some(Direct { kernel, report, initrd: initrd.transpose()?, command_line }))
}
