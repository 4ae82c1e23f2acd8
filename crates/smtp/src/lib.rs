//! The server side of SMTP: octets in, events and replies out; and a tokio listener that drives it.
//!
//! [`Session`] is the protocol without any I/O: RFC 5321 with PIPELINING, SIZE, 8BITMIME,
//! SMTPUTF8, DSN, CHUNKING, ENHANCEDSTATUSCODES, LIMITS, STARTTLS, REQUIRETLS and AUTH. [`serve`] puts it on sockets, with
//! deadlines and limits, and asks a [`Handler`] what to answer. Why it is ours: decision 0001.

mod auth;
mod command;
mod connection;
mod content;
mod event;
mod handler;
mod limits;
mod line;
mod listener;
mod listener_config;
mod parameters;
mod path;
mod progress;
mod session;
mod session_config;
mod syntax_error;
mod wire;

pub use handler::{Client, Greeting, Handler, Service};
pub use limits::Limits;
pub use listener::serve;
pub use listener_config::{AllowFrom, Deadlines, ListenerConfig, TlsMode};
pub use session::{Event, Output, Session};
pub use session_config::{AuthPolicy, SessionConfig, TlsOffer};
