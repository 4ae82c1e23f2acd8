//! Pages and live events. This version has one page: the demo's.
//!
//! Server-rendered, works without script but for the live updates, strict content security
//! policy without inline anything. Foreign HTML only in a sandboxed frame from its own path.

mod demo_page;
mod guard;
mod live;
mod office;
mod text;
mod view;

pub use demo_page::serve;
pub use office::{CaughtNote, Comparison, Mark, Office, OfficeError, Places, Stretch};
pub use text::text;
