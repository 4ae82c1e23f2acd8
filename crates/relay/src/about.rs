use std::time::Duration;

use envelope::RelayId;
use seal::{REFUSAL_PATH, Recipient};

use crate::door::Relay;
use crate::event;

/// Longer than this and the store counts as failing: then nothing is tracked.
const STORE_PATIENCE: Duration = Duration::from_secs(1);

impl Relay {
    /// The header field of a tracked message that tells its recipient where to see what is recorded, and to refuse;
    /// nothing if the operator wants none. With CRLF at its end.
    pub(crate) fn about_field(&self, sender: &str, message: RelayId, recipient: Recipient) -> Vec<u8> {
        if !self.settings.about_field {
            return vec![];
        }
        let token = self.keys.seal_refusal(message, recipient);
        format!("X-Waxseal-About: {}{REFUSAL_PATH}{token}\r\n", self.settings.base_url_for(sender))
            .into_bytes()
    }

    /// Does this recipient want not to be tracked? If the store does not say, he is taken to.
    pub(crate) async fn has_refused(&self, address: &str) -> bool {
        let asked = tokio::time::timeout(STORE_PATIENCE, self.store.refused(vec![address.to_owned()])).await;
        match asked {
            Ok(Ok(refused)) => refused.contains(&true),
            failed => {
                event::store_failed("asking whether a recipient refused", &failed);
                true
            }
        }
    }
}
