//! What must hold for any octets at all. Each function here panics where it does not.
#![allow(unreachable_pub, reason = "the fuzzer's binaries and a test of the main workspace share these")]

mod mime_locate;
mod reference;
mod rewrite;
mod splice;
mod survey;

pub use mime_locate::mime_locate;
pub use rewrite::rewrite;
pub use splice::splice;
pub use survey::survey;

/// Every target, by name.
pub const TARGETS: [(&str, fn(&[u8])); 4] =
    [("mime_locate", mime_locate), ("splice", splice), ("rewrite", rewrite), ("survey", survey)];
