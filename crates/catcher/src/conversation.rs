use std::io;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use mailin_embedded::{Handler, Response, response};

use crate::config::CatcherConfig;
use crate::mailbox::Mailbox;
use crate::refusal::{Refusal, Script, Step};

/// One client's conversation: mailin-embedded clones a fresh one for every connection.
#[derive(Clone)]
pub(crate) struct Conversation {
    mailbox: Arc<Mailbox>,
    script: Script,
    max_content_octets: usize,
    reverse_path: String,
    recipients: Vec<String>,
    content: Vec<u8>,
    /// More content came than is borne: the rest is read, and not kept.
    overflowed: bool,
}

impl Conversation {
    pub(crate) fn new(mailbox: Arc<Mailbox>, config: CatcherConfig) -> Self {
        Self {
            mailbox,
            script: config.script,
            max_content_octets: config.max_content_octets,
            reverse_path: String::new(),
            recipients: Vec::new(),
            content: Vec::new(),
            overflowed: false,
        }
    }

    fn answer(&self, step: Step<'_>) -> Response {
        match self.script.decide(step) {
            None => response::OK,
            Some(refusal) => reply(&refusal),
        }
    }

    /// The content is complete: keeps it, or says why not.
    fn take(&mut self) -> Response {
        let content = mem::take(&mut self.content);
        let recipients = mem::take(&mut self.recipients);
        if self.overflowed {
            return reply(&Refusal::new(552, "5.3.4 More than this mailbox takes at once"));
        }
        if let Some(refusal) =
            self.script.decide(Step::Content { recipients: &recipients, content: &content })
        {
            return reply(&refusal);
        }
        match self.mailbox.put(mem::take(&mut self.reverse_path), recipients, content) {
            Some(number) => Response::custom(250, format!("2.0.0 Caught as number {number}")),
            None => response::NO_SERVICE,
        }
    }
}

impl Handler for Conversation {
    fn helo(&mut self, _: IpAddr, _: &str) -> Response {
        if self.mailbox.is_closed() { response::NO_SERVICE } else { response::OK }
    }

    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        self.answer(Step::Mail { reverse_path: from })
    }

    fn rcpt(&mut self, to: &str) -> Response {
        self.answer(Step::Rcpt { forward_path: to })
    }

    fn data_start(&mut self, _: &str, from: &str, _: bool, to: &[String]) -> Response {
        // The library keeps the transaction (it does not tell us of RSET); this is its list.
        from.clone_into(&mut self.reverse_path);
        to.clone_into(&mut self.recipients);
        self.content.clear();
        self.overflowed = false;
        self.answer(Step::Data { recipients: to })
    }

    /// One line with its line end, the stuffed dot taken off.
    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        if self.content.len() + line.len() > self.max_content_octets {
            // An error here would be answered in mid-content, line by line.
            self.overflowed = true;
            self.content = Vec::new();
        }
        if !self.overflowed {
            self.content.extend_from_slice(line);
        }
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let mut reply = self.take();
        // The library stays in DATA after a refusal here and would take the client's next commands
        // for content (decision 0001). It goes by this flag; the client goes by the code.
        reply.is_error = false;
        reply
    }
}

fn reply(refusal: &Refusal) -> Response {
    Response::custom(refusal.code(), refusal.text().to_owned())
}
