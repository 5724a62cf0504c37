//! A DHCPv4 client (RFC 2131, RFC 2132, RFC 3442): messages, the lease in them, and the states.
//!
//! Sends nothing itself: `net` does. Invariant: no clock, no socket; what happens is a function of
//! the messages and times that are handed in.

mod client;
mod lease;
mod message;

pub(crate) use client::{Client, Do, To};
pub(crate) use lease::Lease;
