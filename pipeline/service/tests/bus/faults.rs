//! Brokers that go away, and cables that are cut.
