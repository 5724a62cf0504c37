//! What goes into a tree: archives, container images, files, device tables.
//!
//! Writes no filesystem and fetches nothing. Invariant: nothing that an archive says leads out of
//! the tree.
