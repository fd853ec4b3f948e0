//! The real process and the real systems around it: killed, stopped and filled up in the middle of work.
//!
//! `MUSTER_TEST_DISTRIBUTION` names what `deploy/distribution/make` made, `MUSTER_TEST_REGISTRY` a container registry,
//! `MUSTER_TEST_AMQP` a broker and `MUSTER_TEST_AMQP_MANAGE` a program that stops and starts it. `MUSTER_TEST_POSTGRES`
//! says that PostgreSQL is installed: who stops one has an instance of its own. Small disks and PostgreSQL need root.
#![expect(clippy::unwrap_used, reason = "a test")]

mod chance;
mod site;
mod stranger;
mod kill;
mod children;
mod postgresql;
mod broker;
mod disk;
