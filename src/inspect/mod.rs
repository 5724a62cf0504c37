//! Bytes to a readable map.
