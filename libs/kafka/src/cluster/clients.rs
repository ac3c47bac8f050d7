//! Clients of the safe binding.

use rdkafka::{
    ClientConfig, ClientContext,
    config::{FromClientConfig, FromClientConfigAndContext, RDKafkaLogLevel},
};

use super::error::{ClusterError, refused};
use crate::settings::{Settings, SettingsError};

/// Creates a client of the safe binding.
///
/// # Errors
/// When a secret cannot be read, or librdkafka refuses a setting.
pub fn client<T: FromClientConfig>(settings: &Settings) -> Result<T, ClusterError> {
    client_config(settings)?.create().map_err(refused("connect"))
}

/// As [`client`], with a context such as [`Trouble`].
///
/// # Errors
/// As [`client`].
pub fn client_with<C: ClientContext, T: FromClientConfigAndContext<C>>(
    settings: &Settings,
    context: C,
) -> Result<T, ClusterError> {
    // At this level the context receives every failed connection.
    client_config(settings)?
        .set_log_level(RDKafkaLogLevel::Info)
        .create_with_context(context)
        .map_err(refused("connect"))
}

fn client_config(settings: &Settings) -> Result<ClientConfig, SettingsError> {
    let mut config = ClientConfig::new();
    for (name, value) in settings.resolve()? {
        config.set(name, value);
    }
    Ok(config)
}
