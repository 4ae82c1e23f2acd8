use std::sync::Arc;

use envelope::Reason;

use crate::door::Relay;
use crate::event;
use crate::rewriting::{Tracking, rewrite};
use crate::rewritten::Rewritten;

impl Relay {
    /// [`crate::rewrite()`] on another thread, so that neither a panic nor a slow message takes anybody with it: then
    /// the message stays as it came.
    pub(crate) async fn rewrite_in_time(&self, content: &Arc<Vec<u8>>, tracking: Tracking) -> Rewritten {
        let (source, turns, id) = (content.clone(), self.rewriting_turns.clone(), tracking.id);
        let rewriting = async move {
            // Kept by the thread itself: one that runs on after its time still counts.
            let turn = turns.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let rewritten = rewrite(&source, &tracking);
                drop(turn);
                rewritten
            })
            .await
        };
        match tokio::time::timeout(self.settings.rewrite_time, rewriting).await {
            Ok(Ok(rewritten)) => rewritten,
            Ok(Err(panic)) => {
                event::rewriting_failed(Some(id), &panic);
                Rewritten::untouched(content.clone(), Some(Reason::RewriteFailed))
            }
            Err(_) => {
                event::rewriting_too_slow(id, self.settings.rewrite_time);
                Rewritten::untouched(content.clone(), Some(Reason::TooSlow))
            }
        }
    }
}
