use std::collections::VecDeque;

use envelope::Reply;
use waxseal_smtp::{Event, Greeting, Output, Session};

use super::step::{heard, reply_matches};
use super::{Step, Transcript};

/// Does the client wait for our answers where the transcript has it do so?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Patient,
    /// It says all it has to say at once, up to the next handshake.
    Hasty,
}

/// How the octets of one turn arrive.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    Nowhere,
    Everywhere,
    /// In each turn behind this octet.
    At(usize),
}

/// What the client sends in one go, what must come of it, and what the listener does then.
#[derive(Default)]
struct Turn<'a> {
    input: Vec<u8>,
    expected: VecDeque<&'a Step>,
    then: Option<&'a Step>,
}

impl Transcript {
    /// How many octets the longest turn has.
    pub fn longest_turn(&self, pace: Pace) -> usize {
        self.turns(pace).iter().map(|turn| turn.input.len()).max().unwrap_or(0)
    }

    /// Plays it; says what came otherwise than it should.
    pub fn play(&self, pace: Pace, cut: Cut) -> Result<(), String> {
        let mut session = Session::new(self.config.clone());
        for mut turn in self.turns(pace) {
            let input = std::mem::take(&mut turn.input);
            let mut wants_tls = self.listen(&mut session, &mut turn, false)?;
            let mut rest = input.as_slice();
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(match cut {
                    Cut::Everywhere => 1,
                    Cut::At(at) if rest.len() == input.len() => at.clamp(1, rest.len()),
                    Cut::At(_) | Cut::Nowhere => rest.len(),
                });
                rest = behind;
                session.receive(piece);
                wants_tls |= self.listen(&mut session, &mut turn, !rest.is_empty())?;
            }
            match turn.then {
                Some(Step::Handshake) if wants_tls => session.tls_started(),
                Some(Step::Handshake) => return Err("a handshake that the session did not ask for".into()),
                _ if wants_tls => return Err("the session asks for a handshake".into()),
                Some(Step::NoRoom) => session.give_up_content(),
                Some(Step::HangUp(reply)) => session.hang_up(reply.clone()),
                _ => {}
            }
            if let Some(step) = turn.expected.pop_front() {
                return Err(format!("did not come: {}", show(step)));
            }
        }
        Ok(())
    }

    /// Takes all there is to take; true when it ends in a wish for TLS. A client that has said
    /// more behind STARTTLS (`has_rest`) says it to the TLS library, which can only hang up.
    fn listen(&self, session: &mut Session, turn: &mut Turn<'_>, has_rest: bool) -> Result<bool, String> {
        while let Some(output) = session.step() {
            match (output, turn.expected.pop_front()) {
                (Output::Reply(reply), Some(Step::Reply(patterns))) if reply_matches(patterns, &reply) => {}
                (Output::Event(Event::Close), Some(Step::Closed)) => {}
                (Output::Event(Event::StartTls), Some(Step::Closed)) if has_rest => {
                    session.hang_up(Reply::of(421, "", ""));
                    while session.step().is_some() {}
                }
                (Output::Event(Event::StartTls), None) if !has_rest => return Ok(true),
                (Output::Event(event), Some(Step::Handler { heard: expected, answer }))
                    if heard(&event) == *expected =>
                {
                    if let (Event::Content { greeting, .. }, Some(expected)) = (&event, &self.greeting)
                        && show_greeting(greeting) != *expected
                    {
                        return Err(format!("came: {greeting:?}, not: {expected}"));
                    }
                    session.answer(answer.clone());
                }
                (output, expected) => {
                    let expected = expected.map_or("nothing".into(), show);
                    return Err(format!("came: {}, not: {expected}", show_output(&output)));
                }
            }
        }
        Ok(false)
    }

    fn turns(&self, pace: Pace) -> Vec<Turn<'_>> {
        let mut turns = vec![Turn::default()];
        for step in &self.steps {
            let Some(turn) = turns.last_mut() else { continue };
            match step {
                Step::Client(octets) if turn.expected.is_empty() || pace == Pace::Hasty => {
                    turn.input.extend_from_slice(octets);
                }
                Step::Client(octets) => turns.push(Turn { input: octets.clone(), ..Turn::default() }),
                Step::Handshake | Step::NoRoom | Step::HangUp(_) => {
                    turn.then = Some(step);
                    turns.push(Turn::default());
                }
                _ => turn.expected.push_back(step),
            }
        }
        turns
    }
}

fn show(step: &Step) -> String {
    match step {
        Step::Client(octets) => format!("C: {}", octets.escape_ascii()),
        Step::Reply(patterns) => format!("S: {}", patterns.join(" / ")),
        Step::Handler { heard, .. } => format!("H: {}", heard.escape_ascii()),
        Step::Closed => "E: closed".into(),
        Step::Handshake | Step::NoRoom | Step::HangUp(_) => "T".into(),
    }
}

fn show_output(output: &Output) -> String {
    match output {
        Output::Reply(reply) => format!("S: {reply}"),
        Output::Event(Event::Close) => "E: closed".into(),
        Output::Event(Event::StartTls) => "T: handshake".into(),
        Output::Event(event) => format!("H: {}", heard(event).escape_ascii()),
    }
}

fn show_greeting(greeting: &Greeting) -> String {
    let mut text = greeting.helo.clone();
    for (is, word) in
        [(greeting.esmtp, " esmtp"), (greeting.tls, " tls"), (greeting.authenticated, " authenticated")]
    {
        text.push_str(if is { word } else { "" });
    }
    text
}
