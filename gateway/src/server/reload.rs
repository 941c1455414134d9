//! Another configuration for an endpoint that runs: checked first, then put in force as a whole, or not at all.

use std::sync::Arc;

use super::shared::Shared;
use crate::config::{Config, ConfigError};

/// Gives a running endpoint another configuration.
#[derive(Clone)]
pub struct Reloader {
    shared: Arc<Shared>,
}

impl Reloader {
    pub(super) fn new(shared: Arc<Shared>) -> Reloader {
        Reloader { shared }
    }

    /// Puts `config` in force for connections and requests that come from now on, and logs what has changed; whether it
    /// did. With a broken configuration, or one whose certificates cannot be used, the old one stays in force and the log
    /// says why.
    ///
    /// A database that is new, gone or different gets new pools or none; requests in flight finish on the old ones. A
    /// database whose settings are the same keeps its connections. Certificates are read again. Where to listen and the
    /// log's format stay as they were, and the log says so.
    pub fn reload(&self, config: Result<Config, ConfigError>) -> bool {
        let reloaded = config.map_err(|error| error.to_string()).and_then(|config| self.put(config));
        let [succeeded, failed] = &self.shared.metrics.reloads;
        match reloaded {
            Ok(changes) => {
                succeeded.add(1);
                tracing::info!("configuration reloaded: {changes}");
                true
            }
            Err(error) => {
                failed.add(1);
                for line in error.lines().filter(|line| !line.is_empty()) {
                    tracing::error!("configuration not reloaded, the old one stays in force: {line}");
                }
                false
            }
        }
    }

    fn put(&self, mut config: Config) -> Result<String, String> {
        let current = self.shared.served();
        let old = &current.config;
        for (key, differs) in [
            ("listen", old.listen != config.listen),
            ("metrics.listen", old.metrics.listener != config.metrics.listener),
            ("log_format", old.log_format != config.log_format),
        ] {
            if differs {
                tracing::warn!("{key} has changed, which takes a restart: it stays as it was");
            }
        }
        (config.listen, config.log_format) = (old.listen, old.log_format);
        config.metrics.listener = old.metrics.listener;

        let mut changes = Vec::new();
        for (name, settings) in &config.databases {
            match old.databases.get(name) {
                None => changes.push(format!("{name} added")),
                Some(known) if known != settings => changes.push(format!("{name} changed")),
                Some(_) => {}
            }
        }
        let removed = old.databases.keys().filter(|name| !config.databases.contains_key(*name));
        changes.extend(removed.map(|name| format!("{name} removed")));
        let changes = match changes.is_empty() {
            true => "no database has changed".to_owned(),
            false => format!("databases: {}", changes.join(", ")),
        };
        self.shared.serve(config).map_err(|error| error.to_string())?;
        Ok(changes)
    }
}
