//! The build pod process.
