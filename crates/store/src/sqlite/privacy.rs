//! What recipients may ask of us, and what must not be kept for ever.

mod forgetting;
mod purging;
mod refusing;
mod remains;
mod schema;
mod tracing;

pub(crate) use forgetting::Forget;
pub(crate) use purging::{Batch, batch, delete, over_its_time};
pub(crate) use refusing::{
    Refusals, allow, is_quiet, last_opens, parties, recipient_facts, record_last_open, refusals, refuse,
    refused,
};
pub(crate) use remains::remains;
pub(crate) use schema::PRIVACY;
pub(crate) use tracing::traces;
