use async_trait::async_trait;

use crate::{Event, StoreError};

/// Looks at events of the journal before they are written to the store: what may be kept of them could not always
/// be known when they came in.
#[async_trait]
pub trait Screen: Send + Sync {
    /// As much of the event as may be kept, if any. Of the same event the same, however often.
    ///
    /// # Errors
    /// When it cannot be known yet: the event stays in the journal.
    async fn screen(&self, event: Event) -> Result<Option<Event>, StoreError>;
}
