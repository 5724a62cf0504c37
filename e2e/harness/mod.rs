//! The verbs in which the cases tell their stories.
//!
//! Judges nothing by itself. Invariant: whoever waits has a deadline, and a failure says what was
//! expected and what was seen, and shows the namespace as it stood.

mod audit;
mod cdi;
mod dump;
mod host;
mod memory;
mod objects;
mod operator;
mod record;
mod registry;
mod space;
mod wait;

pub(crate) use audit::{Entry, audit, operator_requests};
pub(crate) use cdi::Cdi;
pub(crate) use host::{
    boots, build_on_desk, build_on_desk_with, first_sha256sum, foreign, kubectl, mount, run,
    sha256sum, try_kubectl,
};
pub(crate) use memory::use_up_memory;
pub(crate) use objects::{annotation, condition, name, place, reason_of, text, uid};
pub(crate) use operator::{Operator, in_cluster, metric, scale};
pub(crate) use registry::{Door, PASSWORD, Pulled, Registry, node};
pub(crate) use space::{Space, Use, case};
pub(crate) use wait::{until, within};
