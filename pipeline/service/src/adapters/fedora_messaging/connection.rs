//! Opens connections to the broker: its address, certificates, and who we say we are.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use lapin::tcp::{AMQPUriTcpExt, OwnedIdentity, OwnedTLSConfig};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};

use super::Settings;
use super::mend::{Mended, Mending};

/// How long it may take until the broker has let us in.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// Opens a connection. `name` is what the broker's operator sees.
pub(super) async fn open(settings: &Settings, name: &str) -> Result<Connection> {
    // It fails only when a provider is installed already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut uri: AMQPUri =
        settings.amqp_url.parse().map_err(|error| anyhow!("cannot understand bus.amqp_url: {error}"))?;
    let shown = format!("{}:{}", uri.authority.host, uri.authority.port);
    if settings.tls.certfile.is_some() && uri.query.auth_mechanism.is_none() {
        // Who presents a certificate is known by it, as with the client of fedora-messaging.
        uri.query.auth_mechanism = "EXTERNAL".parse().ok();
    }
    let tls = match uri.scheme {
        AMQPScheme::AMQPS => certificates(settings)?,
        AMQPScheme::AMQP => OwnedTLSConfig::default(),
    };
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), Mending(Tokio::current())));
    let connect = async move |uri: AMQPUri, _| {
        let stream = uri.connect_with_config_async(tls.as_ref(), &Runtime::tokio_current()).await?;
        Ok(AsyncTcpStream::Plain(Mended::new(stream)))
    };
    let opening = Box::pin(Connection::connector(uri, runtime, connect, properties(settings, name)));
    tokio::time::timeout(CONNECT_LIMIT, opening)
        .await
        .map_err(|_| anyhow!("the broker at {shown} did not let us in within {} s", CONNECT_LIMIT.as_secs()))?
        .with_context(|| format!("cannot connect to the broker at {shown}"))
}

fn properties(settings: &Settings, name: &str) -> ConnectionProperties {
    let own = [
        ("product", "Muster"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("information", "https://example.invalid/muster"),
    ];
    let mut properties = ConnectionProperties::default().with_connection_name(name.into());
    for (key, value) in own {
        properties = properties.with_client_property(key.into(), value.into());
    }
    for (key, value) in &settings.client_properties {
        properties = properties.with_client_property(key.as_str().into(), value.as_str().into());
    }
    properties
}

fn certificates(settings: &Settings) -> Result<OwnedTLSConfig> {
    let tls = &settings.tls;
    // The system's authorities are believed as well.
    let authority = tls.ca_cert.as_deref().map(read).transpose()?;
    let identity = match (&tls.certfile, &tls.keyfile) {
        (Some(certificate), Some(key)) => {
            Some(OwnedIdentity::PKCS8 { pem: read(certificate)?.into_bytes(), key: read(key)?.into_bytes() })
        }
        (Some(_), None) | (None, Some(_) | None) => None,
    };
    Ok(OwnedTLSConfig { identity, cert_chain: authority })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Arguments of a queue or an exchange, as AMQP writes them.
pub(super) fn table(arguments: &toml::Table) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        table.insert(key.as_str().into(), amqp_value(value));
    }
    table
}

fn amqp_value(value: &toml::Value) -> AMQPValue {
    match value {
        toml::Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        toml::Value::Integer(number) => {
            i32::try_from(*number).map_or(AMQPValue::LongLongInt(*number), AMQPValue::LongInt)
        }
        toml::Value::Float(number) => AMQPValue::Double(*number),
        toml::Value::Boolean(yes) => AMQPValue::Boolean(*yes),
        toml::Value::Datetime(at) => AMQPValue::LongString(at.to_string().into()),
        toml::Value::Array(values) => {
            AMQPValue::FieldArray(FieldArray::from(values.iter().map(amqp_value).collect::<Vec<_>>()))
        }
        toml::Value::Table(values) => AMQPValue::FieldTable(table(values)),
    }
}
