//! A pretend outside world, for tests only.
