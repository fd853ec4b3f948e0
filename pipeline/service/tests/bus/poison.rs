//! What nobody can read is put aside with a reason, and stops nothing.
