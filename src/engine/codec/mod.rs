//! Compression, checksums and the ordered parallel map.
//!
//! Knows no format. Invariant: the output never depends on the number of threads.
