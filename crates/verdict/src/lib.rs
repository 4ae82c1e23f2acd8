//! Evidence in, verdict with reasons out; rules are data.
//!
//! No I/O: the caller gathers [`Evidence`], [`Rules::judge`] says who it was and why. The built-in rules are
//! `config/verdicts.toml` with the lists of `config/networks/`; an operator can replace them.

mod evidence;
mod kind;
mod lenient;
mod record;

mod judgement;
mod rules;
mod rules_file;

mod sight;
mod stage;

mod agent;
mod agent_rules;
mod burst;
mod crawlers;
mod lists;
mod networks;
mod prefix;
mod protocol;
mod scoring;
mod segments;
mod timing;

mod finding;
mod reading;

mod device;
mod families;
mod sentence;
mod truncated;

pub use device::{Device, DeviceKind, device, device_of};
pub use evidence::{Context, Evidence};
pub use families::load_families;
pub use judgement::{Confidence, Judgement, Trust, Verdict};
pub use kind::Kind;
pub use lists::{ListError, ListInfo, Lists};
pub use networks::{MatchedBy, NetworkMatch};
pub use reading::Mistake;
pub use record::Record;
pub use rules::{Rules, RulesError};
pub use sentence::sentence;
pub use timing::Waits;
pub use truncated::{same_source, truncated};
