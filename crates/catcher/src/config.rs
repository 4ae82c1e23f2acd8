use crate::refusal::Script;

/// What a catcher bears and what it refuses.
#[derive(Clone, Debug)]
pub struct CatcherConfig {
    /// Conversations at the same time, a thread each. One more client waits without a greeting
    /// until another goes.
    ///
    /// The default is 128: an idle client holds its thread for up to five minutes, and 128 threads that wait
    /// cost 2 MiB.
    pub max_connections: u32,
    /// Mails kept, the newest; 1,000 by default.
    pub max_mails: usize,
    /// Octets kept over all mails, the newest; 256 MiB by default. The newest mail stays
    /// even if it is larger.
    pub max_octets: usize,
    /// A larger content is refused with 552; 64 MiB by default.
    pub max_content_octets: usize,
    /// What is refused; by default what [`Script::by_name`] says.
    pub script: Script,
}

impl Default for CatcherConfig {
    fn default() -> Self {
        Self {
            max_connections: 128,
            max_mails: 1_000,
            max_octets: 256 << 20,
            max_content_octets: 64 << 20,
            script: Script::by_name(),
        }
    }
}
