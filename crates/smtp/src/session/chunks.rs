use std::mem;

use envelope::Reply;

use crate::content::ContentReceiver;

use super::Session;
use super::sentences::{bad_sequence, nobody_accepted, say_ehlo_first};
use super::state::State;

/// BDAT: content in chunks, by count (RFC 3030).
impl Session {
    /// A chunk follows, whatever we say to it: one that is refused is read to its end all the same (RFC 3030 §2),
    /// or its octets would be taken for commands.
    pub(super) fn bdat(&mut self, octets: u64, last: bool) {
        let (reply, counts) = match &mut self.state {
            State::Rcpt { .. } => {
                let receiver = ContentReceiver::new(self.config.max_message_octets);
                self.state.change(|client| State::BetweenChunks { client, receiver });
                return self.begin_chunk(octets, last);
            }
            State::BetweenChunks { .. } => return self.begin_chunk(octets, last),
            State::Mail { refused: 0, .. } => (bad_sequence("RCPT comes before BDAT"), true),
            State::Mail { .. } => (nobody_accepted(), false),
            State::Connected => (say_ehlo_first(), true),
            // RFC 3030 §4.2: more of them may be on their way after one that was refused.
            _ => (bad_sequence("MAIL and RCPT come before BDAT"), false),
        };
        let back = Box::new(mem::replace(&mut self.state, State::Closed));
        self.state = State::Refused { back, left: octets, reply, counts };
    }

    fn begin_chunk(&mut self, octets: u64, last: bool) {
        if let State::BetweenChunks { client, mut receiver } = mem::replace(&mut self.state, State::Closed) {
            receiver.expect(octets);
            self.state = State::Chunk { client, receiver, left: octets, last };
        }
    }

    /// Takes what has come of a chunk. False when more must come first.
    pub(super) fn receive_chunk(&mut self) -> bool {
        let waiting = self.lines.waiting();
        let (State::Chunk { left, .. } | State::Refused { left, .. }) = &mut self.state else { return false };
        let taken = usize::try_from(*left).map_or(waiting.len(), |left| left.min(waiting.len()));
        *left -= taken as u64;
        let is_whole = *left == 0;
        if let State::Chunk { receiver, .. } = &mut self.state {
            receiver.push_chunk(&waiting[..taken]);
        }
        self.lines.consume(taken);
        if is_whole {
            self.lines.shrink();
            self.chunk_ended();
        }
        is_whole
    }

    fn chunk_ended(&mut self) {
        match mem::replace(&mut self.state, State::Closed) {
            State::Chunk { client, receiver, last: true, .. } => {
                self.content_ended(client, receiver.finish_chunks());
            }
            State::Chunk { client, receiver, .. } => {
                if let Some(refusal) = receiver.refusal() {
                    return self.content_ended(client, Err(refusal));
                }
                self.state = State::BetweenChunks { client, receiver };
                self.reply(Reply::of(250, "2.0.0", "Ok, go on"));
            }
            State::Refused { back, reply, counts, .. } => {
                self.state = *back;
                if counts { self.refuse(reply) } else { self.reply(reply) }
            }
            other => self.state = other,
        }
    }
}
