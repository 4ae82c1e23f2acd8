//! A provider that misbehaves in every way at every stage: what the caller is told, what the client
//! is told, and whether the connection carries on.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use std::time::Duration;

use envelope::{Credentials, ForwardPath, MailParameters, Mailbox, RcptParameters, Reply, ReversePath};
use fake::Act::{C, Raw, S, Stall};
use fake::certificates::Authority;
use fake::{Act, Fake};
use waxseal_upstream::{Connection, HandoffError, Step, Tls, Upstream};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Greeting,
    Ehlo,
    StartTls,
    Handshake,
    Auth,
    Mail,
    FirstRcpt,
    SecondRcpt,
    Data,
    /// In the middle of it.
    Content,
    /// After the final dot.
    Dot,
    Reset,
    Quit,
}

use Stage::{
    Auth, Content, Data, Dot, Ehlo, FirstRcpt, Greeting, Handshake, Mail, Quit, Reset, SecondRcpt, StartTls,
};

const STAGES: [Stage; 13] =
    [Greeting, Ehlo, StartTls, Handshake, Auth, Mail, FirstRcpt, SecondRcpt, Data, Content, Dot, Reset, Quit];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vice {
    Closes,
    Stalls,
    ShutsDown,
    Refuses4,
    Refuses5,
    Nonsense,
    EndlessReply,
    EndlessLine,
    HalfALineThenSilence,
    HalfALineThenCloses,
    Latin1,
    SeveralLines,
    /// Codes that contradict one another.
    TwoMinds,
    /// A code of another class than the stage has.
    WrongClass,
    /// The reply, and another that nobody asked for.
    TwoAtOnce,
}

use Vice::{
    Closes, EndlessLine, EndlessReply, HalfALineThenCloses, HalfALineThenSilence, Latin1, Nonsense, Refuses4,
    Refuses5, SeveralLines, ShutsDown, Stalls, TwoAtOnce, TwoMinds, WrongClass,
};

const VICES: [Vice; 15] = [
    Closes,
    Stalls,
    ShutsDown,
    Refuses4,
    Refuses5,
    Nonsense,
    EndlessReply,
    EndlessLine,
    HalfALineThenSilence,
    HalfALineThenCloses,
    Latin1,
    SeveralLines,
    TwoMinds,
    WrongClass,
    TwoAtOnce,
];

impl Stage {
    /// What the provider hears here.
    fn hears(self) -> Vec<Act> {
        match self {
            Greeting => vec![],
            Ehlo => vec![C("EHLO relay.test")],
            StartTls => vec![C("STARTTLS")],
            // The beginning of the client's hello.
            Handshake => vec![Act::Some(5)],
            Auth => vec![C("AUTH PLAIN *")],
            Mail => vec![C("MAIL FROM:<ana@x.test>")],
            FirstRcpt | SecondRcpt => vec![C("RCPT TO:<*")],
            Data => vec![C("DATA")],
            Content => vec![Act::Some(100_000)],
            Dot => vec![Act::Content],
            Reset => vec![C("RSET")],
            Quit => vec![C("QUIT")],
        }
    }

    /// The answer that belongs here.
    fn answer(self) -> &'static str {
        match self {
            Greeting => "220 hi\r\n",
            Ehlo => "250-fake.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n",
            StartTls => "220 go\r\n",
            Auth => "235 in\r\n",
            Data => "354 go\r\n",
            Handshake | Content => "",
            Mail | FirstRcpt | SecondRcpt | Dot | Reset | Quit => "250 ok\r\n",
        }
    }

    fn step(self) -> Step {
        match self {
            Greeting => Step::Greeting,
            Ehlo => Step::Hello,
            StartTls | Handshake => Step::StartTls,
            Auth => Step::Login,
            Mail => Step::Mail,
            FirstRcpt | SecondRcpt => Step::Rcpt,
            Data => Step::Data,
            Content | Dot => Step::Content,
            Reset | Quit => Step::Reset,
        }
    }
}

impl Vice {
    fn acts(self, stage: Stage) -> Vec<Act> {
        match self {
            Closes => vec![],
            Stalls if stage == Content => vec![Act::Freeze],
            Stalls => vec![Stall],
            ShutsDown => vec![S("421 4.3.2 closing"), Stall],
            Refuses4 => vec![S("450 4.2.0 later"), Stall],
            Refuses5 => vec![S("554 5.7.1 never"), Stall],
            Nonsense => vec![S("HTTP/1.1 400 Bad Request"), Stall],
            EndlessReply => vec![Raw(b"250-x\r\n".repeat(40_000)), Stall],
            EndlessLine => vec![Raw(vec![b'2'; 300_000]), Stall],
            HalfALineThenSilence if stage == Content => {
                vec![Raw(b"250-a\r\n250 o".to_vec()), Act::Freeze]
            }
            HalfALineThenSilence => vec![Raw(b"250-a\r\n250 o".to_vec()), Stall],
            HalfALineThenCloses => vec![Raw(b"250-a\r\n250 o".to_vec())],
            Latin1 => vec![Raw(b"554 5.7.1 refus\xe9\r\n".to_vec()), Stall],
            SeveralLines => vec![Raw(b"554-5.7.1 first\n554-5.7.1\r\n554 5.7.1 last\r\n".to_vec()), Stall],
            TwoMinds => vec![Raw(b"250-fine\r\n550 no\r\n".to_vec()), Stall],
            WrongClass => vec![S(if stage == Data { "250 ok" } else { "354 go" }), Stall],
            TwoAtOnce => vec![Raw(format!("{}250 ok\r\n", stage.answer()).into_bytes()), Stall],
        }
    }
}

/// What is expected where the session first goes another way than it should.
#[derive(Debug)]
enum Expected {
    /// A reply, and whether the connection carries on.
    Reply(&'static str, bool),
    /// An error of this kind, the first words of what the client is told, and nothing carries on.
    Error(&'static str, Stage, &'static str),
    /// Nothing is amiss that anybody could see.
    Fine,
}

/// `None`: the two do not go together.
fn expected(stage: Stage, vice: Vice) -> Option<Expected> {
    use Expected::{Error, Fine, Reply};
    // Whatever is said to QUIT, we are gone.
    if stage == Quit {
        return Some(Fine);
    }
    if stage == Handshake {
        return Some(match vice {
            Stalls => Error("Silent", Handshake, "451 4.4.1"),
            _ => Error("TlsFailed", Handshake, "451 4.7.5"),
        });
    }
    let opening = stage < Mail;
    let refused = if stage == Auth { "LoginRefused" } else { "Refused" };
    Some(match vice {
        Closes | HalfALineThenCloses | Stalls | HalfALineThenSilence if stage == Dot => {
            Error("OutcomeUnknown", Dot, "451 4.4.2")
        }
        Nonsense | EndlessReply | EndlessLine | TwoMinds | WrongClass if stage == Dot => {
            Error("OutcomeUnknown", Dot, "451 4.5.0")
        }
        Closes | HalfALineThenCloses => Error("Lost", stage, "451 4.4.2"),
        Stalls | HalfALineThenSilence => Error("Silent", stage, "451 4.4.1"),
        ShutsDown => Error("ShutDown", stage, "451 4.3.2 localhost said: closing"),
        Refuses4 if opening => Error(refused, stage, "450 4.2.0 localhost said: later"),
        Refuses5 if opening => Error(refused, stage, "554 5.7.1 localhost said: never"),
        Latin1 if opening => Error(refused, stage, "554 5.7.1 localhost said: refusé"),
        SeveralLines if opening => Error(refused, stage, "554 5.7.1 localhost said: first"),
        // In the middle of the content the refusal is its answer, and nothing more can be said.
        Refuses4 => Reply("450 4.2.0 later", stage != Content && stage != Reset),
        Refuses5 => Reply("554 5.7.1 never", stage != Content && stage != Reset),
        Latin1 => Reply("554 5.7.1 refusé", stage != Content && stage != Reset),
        SeveralLines => Reply("554 5.7.1 first  last", stage != Content && stage != Reset),
        // In AUTH it is a challenge, which we cancel; the provider says nothing to that.
        WrongClass if stage == Auth => Error("Silent", Auth, "451 4.4.1"),
        Nonsense | EndlessReply | EndlessLine | TwoMinds | WrongClass => {
            Error("Nonsense", stage, "451 4.5.0")
        }
        // The answer is right; what follows it must not be taken for the next one.
        TwoAtOnce => match stage {
            StartTls => Error("StartTlsInjected", StartTls, "451 4.7.5"),
            Data | Content => Error("Nonsense", Content, "451 4.5.0"),
            Reset => Fine,
            _ => {
                let next = STAGES.iter().position(|other| *other == stage)? + 1;
                let next = if stage == Ehlo { Auth } else { STAGES[next] };
                let next = if stage == Dot { Reset } else { next };
                Error("Nonsense", next, "451 4.5.0")
            }
        },
    })
}

fn kind(error: &HandoffError) -> &'static str {
    match error {
        HandoffError::Silent { .. } => "Silent",
        HandoffError::Lost { .. } => "Lost",
        HandoffError::Nonsense { .. } => "Nonsense",
        HandoffError::ShutDown { .. } => "ShutDown",
        HandoffError::Refused { .. } => "Refused",
        HandoffError::LoginRefused { .. } => "LoginRefused",
        HandoffError::StartTlsInjected { .. } => "StartTlsInjected",
        HandoffError::TlsFailed { .. } => "TlsFailed",
        HandoffError::OutcomeUnknown { .. } => "OutcomeUnknown",
        _ => "other",
    }
}

fn step(error: &HandoffError) -> Option<Step> {
    match error {
        HandoffError::Silent { step, .. }
        | HandoffError::Lost { step, .. }
        | HandoffError::Nonsense { step, .. }
        | HandoffError::ShutDown { step, .. }
        | HandoffError::Refused { step, .. } => Some(*step),
        HandoffError::OutcomeUnknown { source, .. } => step(source),
        _ => None,
    }
}

/// What the session came to: the last thing heard, and whether it could have gone on.
type Heard = (Result<Reply, HandoffError>, bool);

/// A message with two recipients, RSET and QUIT; ends at the first thing that is not as it should be.
async fn session(upstream: &Upstream, content: &[u8]) -> Option<Heard> {
    let login = Credentials::with_password("ana@x.test", "hunter2");
    let mut connection = match Connection::open(upstream, Some(&login)).await {
        Ok(connection) => connection,
        Err(error) => return Some((Err(error), false)),
    };
    macro_rules! go_on {
        ($answer:expr) => {
            match $answer {
                Ok(reply) if reply.is_positive() => {}
                answer => return Some((answer, connection.is_usable())),
            }
        };
    }
    let ana = ReversePath::Mailbox(Mailbox::parse("ana@x.test").unwrap());
    go_on!(connection.mail(&ana, &MailParameters::default()).await);
    for address in ["jo@y.test", "kim@z.test"] {
        let path = ForwardPath::Mailbox(Mailbox::parse(address).unwrap());
        go_on!(connection.rcpt(&path, &RcptParameters::default()).await);
    }
    go_on!(connection.content(b"", content).await);
    go_on!(connection.reset().await);
    assert!(connection.is_usable());
    connection.quit().await;
    None
}

/// The provider's side, up to `stage`.
fn script(stage: Stage, vice: Vice) -> Vec<Act> {
    let encrypted = matches!(stage, StartTls | Handshake);
    let mut script = Vec::new();
    for earlier in STAGES.into_iter().take_while(|earlier| *earlier != stage) {
        if matches!(earlier, StartTls | Handshake) && !encrypted {
            continue;
        }
        if earlier == Content && stage > Content {
            continue;
        }
        script.extend(earlier.hears());
        script.push(Raw(earlier.answer().as_bytes().to_vec()));
    }
    script.extend(stage.hears());
    if stage == Ehlo && matches!(vice, Refuses5 | Latin1 | SeveralLines) {
        // Such a server may know HELO; this one does not.
        script.extend(vec![S("502 5.5.1 what?"), C("HELO relay.test")]);
    }
    script.extend(vice.acts(stage));
    script
}

#[tokio::test]
async fn every_vice_at_every_stage() {
    let authority = Authority::new();
    let small = b"Subject: hello\r\n\r\nhello\r\n".to_vec();
    // More than all buffers between us hold.
    let large = [b"Subject: large\r\n\r\n".to_vec(), b"0123456789abcdef\r\n".repeat(500_000)].concat();
    let mut rows = 0;
    for stage in STAGES {
        for vice in VICES {
            let Some(expected) = expected(stage, vice) else { continue };
            rows += 1;
            let case = format!("{vice:?} at {stage:?}");
            let server = authority.server("localhost");
            let fake = Fake::with_tls(script(stage, vice), Some(server)).await;
            let silent = matches!(vice, Stalls | HalfALineThenSilence)
                || (stage, vice) == (Auth, WrongClass)
                || stage == Handshake;
            let tls = if matches!(stage, StartTls | Handshake) { Tls::StartTls } else { Tls::None };
            let upstream = Upstream {
                host: "localhost".into(),
                tls,
                trust: authority.trust(),
                timeout: Duration::from_millis(if silent { 150 } else { 10_000 }),
                ..fake.upstream()
            };
            let content = if stage == Content { &large } else { &small };
            let heard = tokio::time::timeout(Duration::from_secs(20), session(&upstream, content)).await;
            let heard = heard.unwrap_or_else(|_| panic!("{case}: no end"));
            match (expected, heard) {
                (Expected::Fine, None) => {}
                (Expected::Reply(text, usable), Some((Ok(reply), was_usable))) => {
                    assert_eq!(reply.to_string().replace('\n', " "), text, "{case}");
                    assert_eq!(usable, was_usable, "{case}");
                }
                (Expected::Error(name, at, client), Some((Err(error), usable))) => {
                    assert_eq!(kind(&error), name, "{case}: {error:?}");
                    if let Some(step) = step(&error) {
                        assert_eq!(step, at.step(), "{case}: {error:?}");
                    }
                    let told = error.reply().to_string();
                    assert!(told.starts_with(client), "{case}: {told}");
                    assert_eq!(error.outcome_unknown(), name == "OutcomeUnknown", "{case}");
                    assert!(!usable, "{case}");
                    assert_eq!(
                        error.severity() == envelope::Severity::Permanent,
                        told.starts_with('5'),
                        "{case}"
                    );
                }
                (expected, heard) => panic!("{case}: {heard:?}, expected {expected:?}"),
            }
        }
    }
    assert_eq!(rows, STAGES.len() * VICES.len());
}

#[tokio::test]
async fn a_provider_without_any_vice() {
    let mut script = Vec::new();
    for stage in STAGES {
        if !matches!(stage, StartTls | Handshake | Content) {
            script.extend(stage.hears());
            script.push(Raw(stage.answer().as_bytes().to_vec()));
        }
    }
    let fake = Fake::start(script).await;
    let heard = session(&fake.upstream(), b"Subject: x\r\n\r\nx\r\n").await;
    assert!(heard.is_none(), "{heard:?}");
    assert_eq!(fake.finish().await.len(), 1);
}
