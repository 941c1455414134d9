//! Asking a server whether it takes connections, without credentials: as `pg_isready` does, by a startup message whose
//! answer shows that the server would go on.

use std::time::Duration;

use bytes::BytesMut;
use onetrip_wire::Limits;
use onetrip_wire::backend::{ErrorResponse, tag};
use onetrip_wire::frame;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Target;

/// No longer than this, however long a login may take: who asks is a load balancer with little patience.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What a server that answers has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probed {
    /// Whether the way there is TLS, or stays within this machine's kernel.
    pub(crate) private: bool,
}

impl Target {
    /// Asks the server.
    ///
    /// # Errors
    /// Why it takes no connections, for the log.
    pub(crate) async fn probe(&self) -> Result<Probed, String> {
        let limit = self.connect_timeout.min(TIMEOUT);
        match tokio::time::timeout(limit, self.ask()).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }

    async fn ask(&self) -> Result<Probed, String> {
        let mut stream = self.open().await.map_err(|error| error.cause())?;
        let probed = Probed { private: stream.is_private() };
        let mut startup = BytesMut::new();
        // A role that need not exist: PostgreSQL asks for its password first.
        let parameters = [("user", "onetrip_probe"), ("database", self.database.as_str())];
        frontend::startup_message(parameters, &mut startup).map_err(|error| error.to_string())?;
        let ended = |error: std::io::Error| error.to_string();
        stream.write_all(&startup).await.map_err(ended)?;
        stream.flush().await.map_err(ended)?;
        let limits = Limits::default().frame_bytes(64 << 10);
        let mut answer = BytesMut::new();
        loop {
            if let Some(frame) = frame::first(&answer, &limits).map_err(|error| error.to_string())? {
                return match frame.tag {
                    tag::ERROR => match ErrorResponse::parse(frame.body) {
                        // Any other error, such as that of a pooler that knows no such role, is of a server that works.
                        Ok(error) if matches!(error.code(), "57P03" | "53300" | "57P01" | "57P02") => {
                            Err(format!("{} ({})", error.message(), error.code()))
                        }
                        _ => Ok(probed),
                    },
                    _ => Ok(probed),
                };
            }
            if stream.read_buf(&mut answer).await.map_err(ended)? == 0 {
                return Err("the server closed the connection without an answer".to_owned());
            }
        }
    }
}
