//! The log of events: one table and one row of numbers for all kinds, so that who follows it misses nothing.

mod form;
mod read;
mod schema;
mod write;

pub(crate) use form::number;
pub(crate) use read::{
    event, events_after, events_of_address, events_of_before, hits_with_evidence, recent_events, settled,
    settled_after,
};
pub(crate) use schema::EVENT_LOG;
pub(crate) use write::{drop_evidence, settle, write_event};
