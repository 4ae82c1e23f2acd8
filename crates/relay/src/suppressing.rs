use envelope::{ForwardPath, Reply, ReversePath};
use store::{Suppression, SuppressionReason};

use crate::door::Relay;
use crate::event;

/// May a sender write to a recipient?
pub(crate) enum MayWrite {
    Yes,
    /// The recipient is to get none of his mail. What the sender is told.
    No(Reply),
    /// Nobody can say now, and he has recipients who are to get none.
    Unknown(Reply),
}

impl Relay {
    /// Mail from `<>` is for nobody to unsubscribe from: answers, and notifications of ours.
    pub(crate) async fn may_write(
        &self,
        sender: &str,
        reverse_path: &ReversePath,
        recipient: &ForwardPath,
    ) -> MayWrite {
        let (ReversePath::Mailbox(_), Some(mailbox)) = (reverse_path, recipient.mailbox()) else {
            return MayWrite::Yes;
        };
        match self.store.suppression(sender, mailbox.as_str()).await {
            Ok(None) => MayWrite::Yes,
            Ok(Some(suppression)) => MayWrite::No(refusal(mailbox.as_str(), &suppression)),
            Err(error) => {
                event::store_failed("looking up who gets no mail", &error);
                let text = "Who wants no mail of yours cannot be looked up now; your program will try again";
                MayWrite::Unknown(Reply::of(451, "4.3.0", text))
            }
        }
    }
}

fn refusal(address: &str, suppression: &Suppression) -> Reply {
    let whose = if suppression.sender.is_some() { "your mail" } else { "mail from here" };
    let text = match suppression.reason {
        SuppressionReason::Unsubscribed => format!("{address} has unsubscribed from {whose}"),
        SuppressionReason::Bounced => {
            format!("Mail to {address} came back for good before, so no more is sent there")
        }
        SuppressionReason::Complaint => {
            format!("{address} reported {whose} as unwanted, so no more is sent there")
        }
        SuppressionReason::ByHand => format!("{address} is to get no mail from here"),
    };
    Reply::of(550, "5.7.1", text)
}
