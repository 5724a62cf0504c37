//! The CRD.
