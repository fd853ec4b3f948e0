//! The bus: RabbitMQ, in the wire format of fedora-messaging.
//!
//! It knows AMQP and how a message is laid out in it. It must not know what a message means (`message` does) nor what
//! is done about it (`intake` does). A message is handed on, kept durably by whoever takes it, and acknowledged at
//! once; what cannot be read is handed on as such, with the reason, and acknowledged as well.

pub mod settings;
pub mod wire;
pub mod consumer;
pub mod publisher;
mod connection;
mod mend;

pub use settings::Settings;
