use std::fmt;
use std::io;
use std::time::Duration;

use envelope::{Reply, ReplyCode, Severity};

use crate::certificate::Certificate;

/// Why a handoff did not come to an answer of the provider to this message.
///
/// A 4yz or 5yz to MAIL, RCPT, DATA or the content is no error here: it is a [`Reply`]. The one
/// exception is 421, which ends the connection whatever it answers.
///
/// Callers ask [`HandoffError::severity`], [`HandoffError::reply`], [`HandoffError::hint`] and
/// [`HandoffError::outcome_unknown`]; `Display` is the operator's sentence.
#[derive(Debug, thiserror::Error)]
pub enum HandoffError {
    /// No address of the host took the connection, or it has none.
    #[error("could not connect to {host}:{port}")]
    Unreachable {
        /// The upstream's host.
        host: String,
        /// Its port.
        port: u16,
        /// What the system said of the last address tried.
        source: io::Error,
    },
    /// The proxy did not answer, or would not or could not connect.
    #[error("could not connect to {host} through the proxy {proxy}")]
    Proxy {
        /// The upstream's host.
        host: String,
        /// The proxy's host and port.
        proxy: String,
        /// What the proxy or the system said.
        source: io::Error,
    },
    /// The deadline passed.
    #[error("{host} was silent for {limit:?} at {step}")]
    Silent {
        /// The upstream's host.
        host: String,
        /// What was waited for.
        step: Step,
        /// How long.
        limit: Duration,
    },
    /// The connection broke or was closed without a word.
    #[error("the connection to {host} was lost at {step}")]
    Lost {
        /// The upstream's host.
        host: String,
        /// What was going on.
        step: Step,
        /// What the system said; `None` when the server closed it in order.
        source: Option<io::Error>,
    },
    /// What came is not SMTP, or not at this place.
    #[error("{host} did not answer {step} as SMTP does: {said:?}")]
    Nonsense {
        /// The upstream's host.
        host: String,
        /// What was to be answered.
        step: Step,
        /// The beginning of what came, without controls.
        said: String,
    },
    /// 421: the server is about to close the connection (RFC 5321 §3.8).
    #[error("{host} closed its service at {step}: {reply}")]
    ShutDown {
        /// The upstream's host.
        host: String,
        /// What was going on.
        step: Step,
        /// The server's own words.
        reply: Reply,
    },
    /// The server does not want to talk to us at all: in its greeting, to EHLO and HELO, or to STARTTLS.
    #[error("{host} refused {step}: {reply}")]
    Refused {
        /// The upstream's host.
        host: String,
        /// What was refused.
        step: Step,
        /// The server's own words.
        reply: Reply,
    },
    /// STARTTLS is configured and not offered: a server without it, or somebody who took it out of the reply.
    #[error("{host} does not offer STARTTLS")]
    StartTlsNotOffered {
        /// The upstream's host.
        host: String,
    },
    /// Plain text after the 220 to STARTTLS, meant to be read as if it had come through TLS.
    #[error("{host} sent plain text after its answer to STARTTLS")]
    StartTlsInjected {
        /// The upstream's host.
        host: String,
    },
    /// The certificate is expired, for another host, or from an authority that is not trusted.
    #[error(
        "the certificate of {host} was refused: {objection}{}",
        presented.as_ref().map(|presented| format!("; it is {presented}")).unwrap_or_default()
    )]
    Certificate {
        /// The upstream's host.
        host: String,
        /// What is wrong with it, in words.
        objection: String,
        /// What it says of itself.
        presented: Option<Box<Certificate>>,
        /// What the library said.
        source: io::Error,
    },
    /// TLS did not come about for another reason.
    #[error("no TLS connection with {host} came about")]
    TlsFailed {
        /// The upstream's host.
        host: String,
        /// What the library said.
        source: io::Error,
    },
    /// The server does not take this login.
    #[error("{host} refused the login: {reply}")]
    LoginRefused {
        /// The upstream's host.
        host: String,
        /// The server's own words, with the login and the password taken out should they be in them.
        reply: Reply,
    },
    /// There is a login, and the server offers no mechanism for its kind.
    #[error("{host} offers neither AUTH {} nor AUTH {}", mechanisms[0], mechanisms[1])]
    LoginNotOffered {
        /// The upstream's host.
        host: String,
        /// Those that would do.
        mechanisms: [&'static str; 2],
    },
    /// There is a login, and the link is neither encrypted nor within this machine.
    #[error("a login for {host} would have gone over the network in plain text")]
    LoginUnencrypted {
        /// The upstream's host.
        host: String,
    },
    /// A character that the mechanism uses between its fields: NUL in PLAIN (RFC 4616 §2),
    /// control characters with tokens (RFC 7628 §3.1).
    #[error("the login for {host} holds a control character")]
    LoginUnsendable {
        /// The upstream's host.
        host: String,
    },
    /// Content with octets above 127 for a server without 8BITMIME. Nothing of it was sent.
    #[error("{host} does not take 8-bit content")]
    EightBitNotOffered {
        /// The upstream's host.
        host: String,
    },
    /// An address or header field in UTF-8 for a server, or a transaction, without SMTPUTF8. It was not sent.
    #[error("{host} does not take UTF-8 in addresses and header fields")]
    Utf8NotOffered {
        /// The upstream's host.
        host: String,
    },
    /// The upstream wants an access token, and there is none for this mailbox right now.
    #[error("no access token for {address} at {host}: {why}")]
    NoToken {
        /// The upstream's host.
        host: String,
        /// The operator's name for it.
        upstream: String,
        /// The mailbox.
        address: String,
        /// In words, without secrets.
        why: String,
    },
    /// The client asked for REQUIRETLS (RFC 8689), and the provider would not keep to it, or the link
    /// to it is not encrypted. Nothing was sent.
    #[error("{host} does not offer REQUIRETLS on an encrypted connection")]
    TlsNotRequired {
        /// The upstream's host.
        host: String,
        /// Is the link to it encrypted?
        encrypted: bool,
    },
    /// All the connections that this upstream may have are in use, for longer than one waits.
    #[error("all {most_open} connections to {host} are in use")]
    Busy {
        /// The upstream's host.
        host: String,
        /// How many it may have.
        most_open: usize,
    },
    /// Above the server's SIZE. Nothing of it was sent.
    #[error("{octets} octets are more than the {limit} that {host} takes")]
    TooLarge {
        /// The upstream's host.
        host: String,
        /// The declared size, or the content's.
        octets: u64,
        /// The server's.
        limit: u64,
    },
    /// A CR or LF that is not part of CRLF: some servers would see the end of the message, and
    /// the commands of somebody else behind it. Nothing was sent.
    #[error("content for {host} holds a bare CR or LF")]
    BareLineEnd {
        /// The upstream's host.
        host: String,
    },
    /// The whole message was sent and no answer came back: it may or may not have been delivered.
    #[error("{host} has the message and did not answer")]
    OutcomeUnknown {
        /// The upstream's host.
        host: String,
        /// What happened instead.
        source: Box<HandoffError>,
    },
    /// A call on a connection that had failed before. Nothing was sent.
    #[error("the connection to {host} had failed before")]
    Unusable {
        /// The upstream's host.
        host: String,
    },
}

/// Where in the conversation something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Waiting for the first 220.
    Greeting,
    /// EHLO, or HELO after it.
    Hello,
    /// STARTTLS and the handshake.
    StartTls,
    /// AUTH.
    Login,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, until the 354.
    Data,
    /// The content, and the reply to it.
    Content,
    /// RSET.
    Reset,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Login => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Content => "the content",
            Self::Reset => "RSET",
        })
    }
}

impl HandoffError {
    /// Whether the client's next try can help. What an operator has to mend is transient too: the
    /// message stays where it is until that is done.
    pub fn severity(&self) -> Severity {
        self.reply().severity().unwrap_or(Severity::Transient)
    }

    /// Was the whole message sent, without an answer? Then the provider may have delivered it, and
    /// the client's next try delivers it again. RFC 5321 §6.1 prefers that to losing it, so the
    /// reply is transient nevertheless; a record of the message should say that nobody knows.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// What the client is told: a sentence for the person in front of it. Where the provider said
    /// something it is `HOST said: …` with the provider's code, except that its 421 becomes 451,
    /// because 421 would announce the end of *our* connection with the client.
    #[expect(clippy::too_many_lines, reason = "a table: one sentence for each kind")]
    pub fn reply(&self) -> Reply {
        match self {
            Self::Unreachable { host, .. } | Self::Proxy { host, .. } | Self::Silent { host, .. } => {
                Reply::of(
                    451,
                    "4.4.1",
                    format!("Your provider {host} does not answer right now; your program will try again"),
                )
            }
            Self::Lost { host, .. } | Self::Unusable { host } => Reply::of(
                451,
                "4.4.2",
                format!("The connection to your provider {host} broke; your program will try again"),
            ),
            Self::Nonsense { host, .. } => Reply::of(
                451,
                "4.5.0",
                format!("Your provider {host} gave an answer that is not SMTP; your program will try again"),
            ),
            Self::ShutDown { host, reply, .. } => said(host, reply, 451, "4.3.2"),
            Self::Refused { host, reply, .. } | Self::LoginRefused { host, reply } => {
                reply.clone().with_prefix(&format!("{host} said: "))
            }
            Self::StartTlsNotOffered { host } => Reply::of(
                451,
                "4.7.4",
                format!(
                    "Your provider {host} does not offer encryption, so nothing was sent; tell whoever runs this relay"
                ),
            ),
            Self::StartTlsInjected { host } | Self::TlsFailed { host, .. } => Reply::of(
                451,
                "4.7.5",
                format!(
                    "No encrypted connection with your provider {host} came about, so nothing was sent; your program will try again"
                ),
            ),
            Self::Certificate { host, .. } => Reply::of(
                451,
                "4.7.5",
                format!(
                    "The certificate of your provider {host} is not valid, so nothing was sent; tell whoever runs this relay"
                ),
            ),
            Self::LoginNotOffered { host, .. } => Reply::of(
                451,
                "4.7.4",
                format!(
                    "Your provider {host} offers no way to log in that this relay knows; tell whoever runs it"
                ),
            ),
            Self::LoginUnencrypted { host } => Reply::of(
                451,
                "4.7.4",
                format!("Your login for {host} is not sent without encryption; tell whoever runs this relay"),
            ),
            Self::LoginUnsendable { .. } => {
                Reply::of(535, "5.7.8", "Login name or password hold a character that cannot be sent")
            }
            Self::EightBitNotOffered { host } => Reply::of(
                554,
                "5.6.3",
                format!(
                    "Your provider {host} takes only 7-bit messages and this one has 8-bit text; it was not sent"
                ),
            ),
            Self::Utf8NotOffered { host } => Reply::of(
                553,
                "5.6.7",
                format!(
                    "Your provider {host} takes only addresses and header lines in plain ASCII; this was not sent"
                ),
            ),
            Self::NoToken { host, address, why, .. } => Reply::of(
                454,
                "4.7.0",
                format!(
                    "There is no sign-in for {address} at your provider {host} right now ({why}); tell whoever runs this relay"
                ),
            ),
            Self::TlsNotRequired { host, encrypted } => Reply::of(
                550,
                if *encrypted { "5.7.30" } else { "5.7.10" },
                format!(
                    "Your message asks for encryption all the way, which your provider {host} does not promise; it was not sent"
                ),
            ),
            Self::Busy { host, .. } => Reply::of(
                451,
                "4.3.2",
                format!(
                    "All connections to your provider {host} are in use right now; your program will try again"
                ),
            ),
            Self::TooLarge { host, octets, limit } => Reply::of(
                552,
                "5.3.4",
                format!(
                    "Message is {} MB, your provider {host} takes {} MB",
                    megabytes_up(*octets),
                    megabytes_down(*limit)
                ),
            ),
            Self::BareLineEnd { .. } => {
                Reply::of(554, "5.6.0", "A line of the message does not end in CRLF; it was not sent")
            }
            Self::OutcomeUnknown { host, source } => match **source {
                Self::Nonsense { .. } => source.reply(),
                _ => Reply::of(
                    451,
                    "4.4.2",
                    format!(
                        "Your provider {host} did not confirm the message; your program will try again, and it may arrive twice"
                    ),
                ),
            },
        }
    }

    /// What the operator can do next, if anything.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable { .. } => {
                "check host and port of the upstream, and that a firewall lets this machine out"
            }
            Self::Proxy { .. } => {
                "check the upstream's `proxy`, and that it lets us through to this host and port"
            }
            Self::Silent { step: Step::Greeting, .. } => {
                "the port may speak TLS from the start: 465 with tls = \"implicit\", 587 with \"starttls\""
            }
            Self::StartTlsNotOffered { .. } => {
                "port 587 with tls = \"starttls\", 465 with \"implicit\"; if that is so, something between here and there takes STARTTLS out"
            }
            Self::StartTlsInjected { .. } => {
                "somebody between here and the provider interferes with the connection"
            }
            Self::TlsFailed { .. } => {
                "the port may want STARTTLS: 465 with tls = \"implicit\", 587 with \"starttls\""
            }
            Self::Certificate { .. } => {
                "check the host name and this machine's clock; for an authority of your own, name its certificate in the upstream"
            }
            Self::LoginRefused { .. } => {
                "many providers want an app password, or a switch that allows SMTP, instead of the mailbox's password"
            }
            Self::LoginNotOffered { .. } => {
                "the provider may offer AUTH on another port or only with TLS, or want auth = \"none\""
            }
            Self::NoToken { .. } => {
                "a person has to sign in: waxseal upstream login NAME ADDRESS; see waxseal upstream list"
            }
            Self::Busy { .. } => "the upstream's `pool` says how many connections it may have at once",
            Self::LoginUnencrypted { .. } => "set tls to \"implicit\" or \"starttls\"",
            Self::Nonsense { step: Step::Greeting, .. } => "is that an SMTP server, and its submission port?",
            _ => return None,
        })
    }
}

/// The provider's words and enhanced status code under another reply code.
fn said(host: &str, reply: &Reply, code: u16, enhanced: &str) -> Reply {
    let enhanced = reply.enhanced().map_or_else(|| enhanced.to_owned(), |own| own.to_string());
    Reply::of(code, &enhanced, reply.text()).with_prefix(&format!("{host} said: "))
}

/// Rounded so that a message above the limit never reads as one within it.
const fn megabytes_up(octets: u64) -> u64 {
    octets.div_ceil(1_000_000)
}

const fn megabytes_down(octets: u64) -> u64 {
    octets / 1_000_000
}

/// A code that no connection survives.
pub(crate) fn closes(code: ReplyCode) -> bool {
    code.get() == 421
}
