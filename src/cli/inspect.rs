//! stub
use super::args::InspectArgs;
use super::failure::Failures;
use super::output::Output;
pub(super) fn run(_: &InspectArgs, _: &Output) -> Result<(), Failures> {
    Ok(())
}
