//! The tracking endpoint: pixel, redirect and one-click unsubscribe.
//!
//! Whatever happens behind it, a pixel is answered and a link that we signed redirects: with no store, with
//! one that fails, with one that does not answer. Nothing redirects that was not signed. What is recorded is
//! on disk before the answer leaves (decision 0004). There is never a cookie.
//!
//! Headers and statuses are those of VERDICTS.md section 7.

mod server;

mod endpoint;
mod network;

mod place;
mod proxy_header;

mod client_address;
mod hit;
mod keeping;
mod meter;
mod one_click;
mod places;
mod recipient_page;
mod recipient_words;
mod recording;
mod request_path;
mod revoked;
mod unrecorded;
mod unsubscribe;
mod visit;

mod self_cookie;
mod settling;
mod surroundings;

mod answer;
mod page;

mod courteous;
mod event;
mod guarded;

pub use endpoint::{Deadlines, Endpoint, KeepAddress, KeepAgent, Limits, Quota};
pub use keeping::{Keeping, Screening};
pub use network::{Network, NetworkError};
pub use places::{Place, PlaceDetail, Places, PlacesError};
pub use recipient_page::About;
pub use revoked::Revoked;
pub use server::serve;
pub use settling::{Change, Correction, CorrectionError, Reclassified, Reclassifier, Settler, correct};
pub use surroundings::Surroundings;
