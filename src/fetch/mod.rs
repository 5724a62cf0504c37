//! Fetches inputs from a network, and sends images there, under rules: which servers, how many bytes,
//! how long.
//!
//! ```text
//! address ──guard──▶ name ──resolve──▶ addresses ──guard──▶ connection ──▶ bytes ──digest──▶ spool
//!    ▲                                                            │
//!    └──────────────────────── redirect ◀────────────────────────┘
//! ```
//!
//! Knows no document and no registry. Only build pods and desks have it; the controller never
//! fetches. Invariant: no connection is made that the guard did not judge.

mod client;
mod download;
mod guard;
mod part;
mod proxy;
mod range;
mod wire;

pub use client::{Answer, Client, Fault, Headers, expect_content, same_origin, shown, unexpected};
pub use download::{Fetched, Wanted};
pub use guard::{Guard, HostRule, Refusal, Rules};
pub use part::Part;
pub use proxy::Proxies;
pub use range::Range;
pub use wire::Times;
