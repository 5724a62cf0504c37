//! Changes of inputs that are not archives: what is done to a kernel before it is placed.
//!
//! Knows no document. Invariant: what is refused here is refused before a byte is written, and a
//! transform that is applied twice gives what it gave at first.

pub mod netbsd;
