//! The bus against a real RabbitMQ, with the real client of fedora-messaging on the other side.
//!
//! `MUSTER_TEST_AMQP` is the address of a broker of our own, `MUSTER_TEST_AMQP_MANAGE` a program that takes `start`,
//! `stop` and `restart`, and `MUSTER_TEST_PYTHON` a Python that has fedora-messaging. Without them the tests skip
//! loudly, and fail where `CI=true`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "bus/bench.rs"]
mod bench;
#[path = "bus/wire.rs"]
mod wire;
#[path = "bus/poison.rs"]
mod poison;
#[path = "bus/faults.rs"]
mod faults;
#[path = "bus/publishing.rs"]
mod publishing;
