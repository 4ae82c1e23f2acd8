//! Pages, live events, the API. This version has one page: the demo's.
//!
//! Server-rendered, works without script but for the live updates, strict content security
//! policy without inline anything. Foreign HTML only in a sandboxed frame from its own path.

mod api;

mod demo_page;
mod guard;
mod live;
mod office;
mod text;
mod view;

pub use api::{Api, Backstage, NewToken, Refused, Scope, TokenError, Who, new_token, serve_api};
pub use demo_page::serve;
pub use office::{CaughtNote, Comparison, Mark, Office, OfficeError, Places, Stretch};
pub use text::text;
