//! What should happen to a candidate.
