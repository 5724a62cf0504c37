//! Image file formats: a medium becomes a file, and a file a medium.
//!
//! Knows no document. Invariant: an all-zero unit is never allocated, whatever the holes of the
//! source; the same medium and parameters give the same bytes on any number of threads.
