use std::net::SocketAddr;

use envelope::Reply;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::certificate::Certificate;
use crate::extensions::Extensions;

/// One thing seen while a connection was opened, for an operator who wants to know how far it comes.
#[derive(Clone, Debug)]
pub enum Sighting {
    /// The connection stands.
    Connected {
        /// With whom: the first address that answered.
        address: SocketAddr,
        /// It is the proxy's, which says it has reached the host.
        is_proxy: bool,
    },
    /// TLS stands, and the certificate was verified.
    Encrypted {
        /// `TLSv1.3`.
        version: String,
        /// `None` when it cannot be read; it was good nevertheless.
        certificate: Option<Certificate>,
    },
    /// The server greeted.
    Greeted(Reply),
    /// What it offers, the last time it was asked.
    Offered(Extensions),
    /// The login was taken.
    LoggedIn {
        /// By which mechanism.
        mechanism: &'static str,
    },
}

/// Who hears of them.
pub(crate) type Watch<'a> = dyn FnMut(Sighting) + Send + 'a;

impl Sighting {
    pub(crate) fn encrypted(stream: &TlsStream<TcpStream>) -> Self {
        let (_, session) = stream.get_ref();
        let version = session.protocol_version().and_then(|version| version.as_str());
        let certificate = session.peer_certificates().and_then(|chain| Certificate::read(chain.first()?));
        // As people write it: TLSv1.3.
        Self::Encrypted { version: version.unwrap_or("TLS").replace("TLSv1_", "TLSv1."), certificate }
    }
}
