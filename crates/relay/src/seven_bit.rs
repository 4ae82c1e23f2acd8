use std::sync::Arc;

use envelope::Reply;
use upstream::{Connection, HandoffError};

use crate::event;

/// The content, in 7 bits for a provider without 8BITMIME (RFC 6152 §3).
pub(crate) async fn send_content(
    provider: &mut Connection,
    received: &[u8],
    content: &Arc<Vec<u8>>,
) -> Result<Reply, HandoffError> {
    if provider.extensions().eight_bit_mime || content.is_ascii() {
        return provider.content(received, content).await;
    }
    let before = content.clone();
    match tokio::task::spawn_blocking(move || mime::to_seven_bit(&before)).await {
        Ok(Ok(converted)) => provider.content(received, &converted).await,
        // Refused here, before anything is sent: this provider does not take it as it is.
        Ok(Err(why)) => {
            event::not_seven_bit(&why);
            provider.content(received, content).await
        }
        Err(panic) => {
            event::not_seven_bit(&panic);
            provider.content(received, content).await
        }
    }
}
