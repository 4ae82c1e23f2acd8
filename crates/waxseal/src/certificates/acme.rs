//! Certificates from an ACME authority (RFC 8555), proven by tls-alpn-01 (RFC 8737) or http-01.
//!
//! [`Keeper`] decides when, [`order::obtain`] asks for one certificate, [`Record`] remembers what became of
//! it. The protocol is instant-acme's; the connection under it is ours.

mod account;
mod failure;
mod keeper;
mod kept_files;
mod order;
mod record;
mod transport;

pub(crate) use keeper::Keeper;
pub(crate) use kept_files::KeptFiles;
pub(crate) use record::{Record, kept};

/// The protocol in which the authority asks (RFC 8737 §3).
pub(crate) const TLS_ALPN: &[u8] = b"acme-tls/1";
