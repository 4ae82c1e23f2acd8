//! Reads a transcript and plays it to a session. The format is in `tests/transcripts/README.md`.
// A test binary has no outside; `pub` says what its modules are for.
#![allow(unreachable_pub, clippy::unwrap_used)]

mod octets;
mod player;
mod step;

use std::path::Path;

use waxseal_smtp::{AuthPolicy, SessionConfig, TlsOffer};

pub use player::{Cut, Pace};
pub use step::Step;

/// A case: how the session is set up, and what happens in which order.
pub struct Transcript {
    pub config: SessionConfig,
    /// What each content must come with: `client.example esmtp tls authenticated`.
    pub greeting: Option<String>,
    pub steps: Vec<Step>,
}

impl Transcript {
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::parse(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let config = SessionConfig { auth: AuthPolicy::None, ..SessionConfig::new("relay.example") };
        let mut transcript = Self { config, greeting: None, steps: Vec::new() };
        let mut reply_lines = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let at = |error: String| format!("line {}: {error}", number + 1);
            if let Some(words) = line.strip_prefix("# config:") {
                for word in words.split_whitespace() {
                    configure(&mut transcript.config, word).map_err(at)?;
                }
            } else if let Some(greeting) = line.strip_prefix("# greeting: ") {
                transcript.greeting = Some(greeting.to_owned());
            } else if !line.is_empty() && !line.starts_with('#') {
                transcript.steps.extend(Step::parse(line, &mut reply_lines).map_err(at)?);
            }
        }
        if reply_lines.is_empty() { Ok(transcript) } else { Err("a reply without its last line".into()) }
    }
}

fn configure(config: &mut SessionConfig, word: &str) -> Result<(), String> {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    let number = || value.parse::<u32>().map_err(|_| format!("{word}: not a number"));
    let unknown = || Err(format!("{word}: no such setting"));
    match key {
        "tls" => {
            config.tls = match value {
                "none" => TlsOffer::None,
                "starttls" => TlsOffer::StartTls,
                "active" => TlsOffer::Active,
                _ => return unknown(),
            }
        }
        "auth" => {
            config.auth = match value {
                "none" => AuthPolicy::None,
                "required" => AuthPolicy::Required,
                _ => return unknown(),
            }
        }
        "auth-without-tls" => config.auth_without_tls = true,
        "oauth" => config.oauth = true,
        "require-tls" => config.require_tls = true,
        "size" => config.max_message_octets = number()?.into(),
        "recipients" => config.max_recipients = number()? as usize,
        "line" => config.max_line_octets = number()? as usize,
        "auth-line" => config.max_auth_line_octets = number()? as usize,
        "failed-logins" => config.max_failed_logins = number()?,
        "bad-commands" => config.max_bad_commands = number()?,
        _ => return unknown(),
    }
    Ok(())
}
