//! One decoded HTML or plain text part in; a list of byte edits, links and reasons out.
//!
//! `lol_html` says where things stand; its output is thrown away (decision 0002). [`survey`] finds the links and a place for the
//! pixel and decides about each; [`Survey::edits`] says what to change, and nothing else changes.

mod address;
mod app_link;
mod charset;
mod glance;
mod judge;
mod link_rules;
mod link_text;
mod markup;
mod one_time;
mod pixel;
mod placeholder;
mod plain_text;
mod scan;
mod stems;
mod survey;
mod unsubscribe;
mod wishes;

pub use link_rules::LinkRules;
pub use plain_text::TextFormat;
pub use survey::{Edit, Link, LinkDecision, Survey, survey, survey_text};
pub use wishes::{History, NoHistory, Own, PixelPosition, Wishes};
