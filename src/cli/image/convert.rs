//! `vmimage convert`: an image in another format.
//!
//! Invariant: nothing is written before source, format and options are accepted; a regular file
//! gets its name when it is complete and the source is known not to have changed.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::args::{Container, ConvertArgs, FormatFlags};
use super::source::Opened;
use super::target::{Pipe, Target, refused};
use crate::cli::failure::{Failure, Failures};
use crate::cli::inspect::{by_name, wrap_by_name};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::progress::Shown;
use crate::engine::base::{Device, Padded, SectorSource, Work};
use crate::engine::format::package::{self, Form, Recipe};
use crate::engine::format::{self, FormatName, Label, Params};
use crate::publish::files::{self, Pending};

/// What the ids of converted images are derived in.
const NAMESPACE: &[u8] = b"vmimage.dev/convert";

/// Runs the verb.
pub(in crate::cli) fn run(args: &ConvertArgs, output: &Output) -> Result<(), Failures> {
    let target = Target::of(&args.output, args.device)?;
    if output.is_json() && target == Target::Stdout {
        return Err(refused("--json and an image cannot share standard output".to_owned()).into());
    }
    let (by_name, inner) = wrap_by_name(&args.output);
    let params = args.format.params(Some(&inner))?;
    let wrap = args.wrap.or(by_name);
    let recipe = Recipe { wrap, ..Recipe::from(params.clone()) };
    recipe.check()?;
    accepts(&target, &recipe)?;
    let interrupt = Interrupt::listen()?;
    let opened = Opened::open(&args.input, &args.source, &interrupt)?;
    target.refuse_input(&opened.file)?;
    if let Target::File(path) = &target {
        judge_companion(path, &params, &opened)?;
    }
    let medium = padded(opened.disk(), &params, output)?;
    let shown = Shown::new(output, &interrupt, &target.name());
    let work = Work { threads: args.format.threads(), progress: &shown };
    let name = match target {
        Target::Stdout => format!("disk.{}", params.format()).into(),
        _ => file_name(&args.output),
    };
    let label = label(&name, args.id, medium.len());
    let size = match &target {
        Target::File(path) => {
            let files = written(path, &medium, &label, &recipe, &work)?;
            opened.unchanged().map_err(|e| opened.fail(&e))?;
            interrupt.check()?;
            let size = files.iter().map(|file| file.size).sum();
            files::commit(files)?;
            Some(size)
        }
        Target::Device(path) => {
            let device = Device::open(path)?;
            format::raw::copy(&*medium, &device, &work)?;
            device.finish(medium.len(), work.progress)?;
            opened.unchanged().map_err(|e| opened.fail(&e))?;
            Some(medium.len())
        }
        Target::Stdout | Target::Pipe(_) => {
            let mut sink = match &target {
                Target::Pipe(path) => Pipe::open(path, &interrupt)?,
                _ => Pipe::stdout(&interrupt)?,
            };
            match recipe.wrap {
                None => format::stream(&*medium, &label, &mut sink, &params, &work)?,
                Some(_) => package::stream(&*medium, &label, &mut sink, &recipe, None, &work)?,
            }
            opened.unchanged().map_err(|e| opened.fail(&e))?;
            None
        }
    };
    shown.done();
    if output.is_json() {
        let format = params.format();
        let result = json!({
            "path": target.name(), "format": format, "size": size, "virtualSize": medium.len(),
        });
        output.json(&result)?;
    }
    Ok(())
}

/// The last part of a path, as formats store it.
fn file_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// Judges the place of the second file as that of the first.
fn judge_companion(path: &Path, params: &Params, opened: &Opened) -> Result<(), Failure> {
    let Some(name) = params.companion(&file_name(path)) else { return Ok(()) };
    let companion = path.with_file_name(name);
    match Target::of(&companion, false)? {
        target @ Target::File(_) => target.refuse_input(&opened.file),
        _ => Err(refused(format!("{} is not a regular file", companion.display()))),
    }
}

/// Refuses what the target cannot take.
fn accepts(target: &Target, recipe: &Recipe) -> Result<(), Failure> {
    match target {
        Target::File(_) => Ok(()),
        Target::Stdout | Target::Pipe(_) => recipe.streams().map_err(|e| Failure::from(&e)),
        Target::Device(_) if *recipe == Recipe::from(Params::Raw) => Ok(()),
        Target::Device(path) => {
            let what = recipe.extension();
            Err(refused(format!("{} takes the raw disk, not {what}", path.display())))
        }
    }
}

/// Writes the file, and its companion if it has one, under temporary names.
pub(super) fn written(
    path: &Path,
    medium: &Arc<dyn SectorSource>,
    label: &Label<'_>,
    recipe: &Recipe,
    work: &Work<'_>,
) -> Result<Vec<Pending>, Failures> {
    let mut files = Vec::with_capacity(2);
    let companion = recipe.companion(label.name).map(|name| path.with_file_name(name));
    let file = Pending::create(path)?;
    let companion = companion.map(|path| Pending::create(&path)).transpose()?;
    let output = format::Output {
        label: *label,
        sink: file.sink(),
        companion: companion.as_ref().map(|file| file.sink() as _),
    };
    match recipe {
        Recipe { form: Form::Image(params), wrap: None } => {
            format::write(&**medium, &output, params, work)?;
        }
        _ => package::write(&**medium, &output, recipe, &std::env::temp_dir(), work)?,
    }
    // The descriptor comes last: what it names is there before.
    for mut file in companion.into_iter().chain([file]) {
        file.size = file.source()?.len();
        files.push(file);
    }
    Ok(files)
}

/// `medium` as long as the format makes it, and a line that says so.
pub(super) fn padded(
    medium: Arc<dyn SectorSource>,
    params: &Params,
    output: &Output,
) -> Result<Arc<dyn SectorSource>, Failures> {
    let (len, size) = (medium.len(), params.virtual_size(medium.len())?);
    if size <= len {
        return Ok(medium);
    }
    let format = params.format();
    let zeros = size - len;
    output
        .say(&format!("the disk has {len} bytes; {format} makes it {size}: {zeros} zeros follow"));
    Ok(Arc::new(Padded::new(medium, size)?))
}

/// What the file is called inside, and where its ids come from.
pub(super) fn label(name: &str, id: Option<Uuid>, len: u64) -> Label<'_> {
    let derived = || {
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, NAMESPACE);
        Uuid::new_v5(&namespace, format!("{len}/{name}").as_bytes())
    };
    Label { name, id: id.unwrap_or_else(derived) }
}

impl FormatFlags {
    /// The format with its options; its name comes from `path` where no flag says it.
    pub(super) fn params(&self, path: Option<&Path>) -> Result<Params, Failure> {
        let named = || match path.and_then(by_name) {
            Some(Container::Image(format)) => Some(format),
            _ => None,
        };
        let format = self.format.or_else(named).ok_or_else(|| {
            let known: Vec<_> = FormatName::ALL.iter().map(|format| format.as_str()).collect();
            let message = format!("name the output's format with --format {}", known.join("|"));
            refused(message)
        })?;
        let short = [("subformat", &self.subformat), ("compression", &self.compression)];
        let short = short.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let long = self.option.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Params::with(format, short.chain(long)).map_err(|e| Failure::from(&e))
    }

    /// The number of threads, 0 for all.
    pub(super) fn threads(&self) -> usize {
        self.threads.map_or(0, usize::from)
    }
}
