//! The barrier between the trees of a disk and its filesystems, where scripts of the document run.
//!
//! ```text
//! trees ──stage::write──▶ DIR/trees/N + DIR/journal/N ──scripts──▶ ──stage::read──▶ trees
//! ```
//!
//! Runs nothing itself. Invariants: a document without scripts stages nothing; with scripts nothing
//! is built unless whoever builds said what becomes of them.

use std::fmt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::base::tree::{Limits, Tree};
use super::base::{Error, Kind, Origin};
use super::stage::{self, Journal, Layout, Rules};
use super::{Env, Given, plan};
use crate::manifest::FieldPath;
use crate::manifest::types::{Disk, Script};

/// Runs scripts.
pub trait Runner: fmt::Debug {
    /// Runs one over the tree in this directory; `Ok` if it ended well.
    fn run(&self, script: &Script, tree: &Path) -> Result<(), Error>;

    /// Who the files of the trees must belong to, if not the caller: user and group.
    fn owner(&self) -> Option<(u32, u32)>;
}

/// What becomes of a document's scripts.
#[derive(Clone, Copy, Debug, Default)]
pub enum Scripts<'a> {
    /// A document that has some is refused, and the message says how they are allowed.
    #[default]
    Refused,
    /// They are left out: for a look at everything else.
    LeftOut,
    /// They run now, over trees in this directory, which is empty.
    Run(&'a dyn Runner, &'a Path),
    /// They have run, over what `stage` put into this directory.
    Done(&'a Path),
}

/// The directory of the tree of the partition with this index.
#[must_use]
pub fn tree_in(directory: &Path, partition: usize) -> PathBuf {
    directory.join("trees").join(partition.to_string())
}

fn journal_in(directory: &Path, partition: usize) -> PathBuf {
    directory.join("journal").join(partition.to_string())
}

fn origin() -> Origin {
    Origin::new("spec.disk.scripts")
}

/// The partitions whose trees scripts change, in order.
fn changed(disk: &Disk) -> Vec<usize> {
    let mut found: Vec<usize> = disk.scripts.iter().filter_map(|s| disk.changed_by(s)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Makes the trees of a document that its scripts change, in `directory`.
pub fn stage(given: &Given<'_>, env: &Env<'_>, directory: &Path) -> Result<(), Error> {
    let Some(disk) = &given.spec.disk else { return Ok(()) };
    let (_, trees) = plan::trees(disk, given, env)?;
    write(disk, &trees, env, directory, None).map_err(|e| e.at(&origin()))
}

/// Lets the scripts of `disk` change its trees.
pub(super) fn barrier(disk: &Disk, trees: &mut [Option<Tree>], env: &Env<'_>) -> Result<(), Error> {
    if disk.scripts.is_empty() {
        return Ok(());
    }
    let directory = match env.scripts {
        Scripts::LeftOut => return Ok(()),
        Scripts::Refused => {
            let message = "scripts are not allowed here: on a desk give --allow-scripts; in a \
                           cluster the operator needs --allow-scripts and the namespace the label \
                           vmimage.dev/allow-scripts: \"true\"";
            return Err(Error::new(Kind::Refused, message).at(&origin()));
        }
        Scripts::Done(directory) => directory,
        Scripts::Run(runner, directory) => {
            let owner = runner.owner();
            write(disk, trees, env, directory, owner).map_err(|e| e.at(&origin()))?;
            run(disk, runner, directory)?;
            directory
        }
    };
    for partition in changed(disk) {
        let Some(place) = trees.get_mut(partition) else { continue };
        let rules = Rules {
            time: env.time,
            limits: Limits::default(),
            budget: env.scratch.left(),
            origin: origin(),
        };
        let read = |journal: &Journal| stage::read(&tree_in(directory, partition), journal, &rules);
        let journal = Journal::load(&journal_in(directory, partition));
        *place = Some(journal.and_then(|journal| read(&journal)).map_err(|e| e.at(&origin()))?);
    }
    Ok(())
}

fn run(disk: &Disk, runner: &dyn Runner, directory: &Path) -> Result<(), Error> {
    for (number, script) in disk.scripts.iter().enumerate() {
        let Some(partition) = disk.changed_by(script) else { continue };
        let path = FieldPath::new("spec.disk.scripts").index(number);
        let at = Origin::new(path.as_str());
        runner.run(script, &tree_in(directory, partition)).map_err(|e| e.at(&at))?;
    }
    Ok(())
}

fn write(
    disk: &Disk,
    trees: &[Option<Tree>],
    env: &Env<'_>,
    directory: &Path,
    owner: Option<(u32, u32)>,
) -> Result<(), Error> {
    let make = |path: &Path| {
        let context = |e| Error::io(format!("making the directory {}", path.display()), e);
        fs::create_dir_all(path).map_err(context)
    };
    make(&directory.join("journal"))?;
    for partition in changed(disk) {
        let Some(Some(tree)) = trees.get(partition) else { continue };
        let path = tree_in(directory, partition);
        make(&path)?;
        let layout = Layout { budget: env.scratch.left(), owner };
        stage::write(tree, &path, layout)?.save(&journal_in(directory, partition))?;
    }
    Ok(())
}
