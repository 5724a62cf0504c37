//! Publishes a finished medium.
