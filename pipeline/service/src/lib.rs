//! How it happens.
