//! `waxseal upstream …`: does it work, who has signed in, and signing in.

mod browser;

use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use anyhow::Context;
use envelope::{Credentials, Mailbox, Severity};
use serde_json::{Value, json};
use upstream::{Connection, Extensions, HandoffError, Pkce, Sighting, SignIn, SizeLimit};

use crate::check;
use crate::cli::{UpstreamCommand, UpstreamListArgs, UpstreamLoginArgs, UpstreamTestArgs};
use crate::config::{Config, Encryption, UpstreamConfig, UpstreamLogin};
use crate::exit::{self, Failure, Outcome};
use crate::output::{local_time, printable, say};
use crate::wiring;

/// `waxseal upstream …`.
pub(crate) async fn upstream(command: UpstreamCommand) -> Outcome {
    match command {
        UpstreamCommand::Test(args) => test(&args).await,
        UpstreamCommand::List(args) => list(&args),
        UpstreamCommand::Login(args) => login(&args).await,
    }
}

async fn test(args: &UpstreamTestArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let upstream = named(&config, &args.name)?;
    let server = wiring::server(&config, upstream)?;
    let step = |name: &str, words: &str, facts: Value| {
        if args.json {
            say(&json!({ "step": name, "ok": true, "seen": facts }).to_string());
        } else {
            say(&format!("  {name:<10} ok     {}", printable(words)));
        }
    };
    let opened = match credentials(&config, upstream, args.login.as_deref()).await {
        Ok(credentials) => {
            let mut watch = |sighting: Sighting| {
                let (name, words, facts) = described(&sighting);
                step(name, &words, facts);
            };
            Connection::open_watched(&server, credentials.as_ref(), &mut watch).await
        }
        Err(failure) => match failure.downcast::<HandoffError>() {
            Ok(error) => Err(error),
            Err(failure) => return Err(Failure::new(exit::USAGE, failure)),
        },
    };
    let error = match opened {
        Ok(connection) => {
            connection.quit().await;
            if !args.json {
                say(&format!("{} takes mail from here.", args.name));
            }
            return Ok(exit::OK);
        }
        Err(error) => error,
    };
    let reply = error.reply();
    let said = sentence(&error);
    if args.json {
        let permanent = error.severity() == Severity::Permanent;
        let line = json!({ "ok": false, "error": said, "hint": error.hint(), "reply": reply.to_string(), "permanent": permanent });
        say(&line.to_string());
    } else {
        say(&format!("  FAIL              {}", printable(&said)));
        if let Some(hint) = error.hint() {
            say(&format!("                    {hint}"));
        }
    }
    Err(Failure::told(match error {
        HandoffError::LoginRefused { .. } | HandoffError::NoToken { .. } => exit::NO_PERMISSION,
        HandoffError::LoginUnencrypted { .. } | HandoffError::LoginUnsendable { .. } => exit::CONFIG,
        _ => exit::UNAVAILABLE,
    }))
}

/// What the upstream is logged in to with, as the file and the command line say.
async fn credentials(
    config: &Config,
    upstream: &UpstreamConfig,
    address: Option<&str>,
) -> anyhow::Result<Option<Credentials>> {
    match (&upstream.login, address) {
        (UpstreamLogin::Account(credentials), None) => Ok(Some(credentials.clone())),
        (UpstreamLogin::Account(_), Some(_)) => {
            anyhow::bail!("{} has one account for everybody; leave out --login", upstream.name)
        }
        (UpstreamLogin::None, Some(_)) => {
            anyhow::bail!("{} takes no login; leave out --login", upstream.name)
        }
        (UpstreamLogin::Tokens(oauth), Some(address)) => {
            let tokens = wiring::tokens(config, upstream, oauth)?;
            Ok(Some(tokens.login(address).await?))
        }
        (UpstreamLogin::PassThrough, Some(address)) => {
            Ok(Some(Credentials::with_password(address, password()?)))
        }
        (UpstreamLogin::None | UpstreamLogin::Tokens(_) | UpstreamLogin::PassThrough, None) => Ok(None),
    }
}

/// From the prompt, or the first line of standard input: never from the command line, which others can see.
fn password() -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ").context("no password could be read");
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("no password could be read from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The step's name, a line for a person, and the facts for a program.
fn described(sighting: &Sighting) -> (&'static str, String, Value) {
    match sighting {
        Sighting::Connected { address, is_proxy } => {
            let words = if *is_proxy { format!("through the proxy {address}") } else { address.to_string() };
            ("connect", words, json!({ "address": address.to_string(), "proxy": is_proxy }))
        }
        Sighting::Encrypted { version, certificate } => {
            let words = certificate.as_ref().map(|it| format!("; certificate {it}")).unwrap_or_default();
            let facts = certificate.as_ref().map(|it| {
                json!({ "names": it.names, "issuer": it.issuer, "valid_from": it.valid_from, "valid_until": it.valid_until })
            });
            ("tls", format!("{version}{words}"), json!({ "version": version, "certificate": facts }))
        }
        Sighting::Greeted(reply) => ("greeting", reply.to_string(), json!({ "reply": reply.to_string() })),
        Sighting::Offered(offered) => {
            let (words, mechanisms) = (offers(offered), offered.auth.join(" "));
            let auth =
                if mechanisms.is_empty() { "no AUTH".to_owned() } else { format!("AUTH {mechanisms}") };
            let facts = json!({ "extensions": words, "auth": offered.auth });
            ("ehlo", format!("{}; {auth}", words.join(" ")), facts)
        }
        Sighting::LoggedIn { mechanism } => {
            ("login", format!("by {mechanism}"), json!({ "mechanism": mechanism }))
        }
    }
}

fn offers(offered: &Extensions) -> Vec<String> {
    let size = match offered.size {
        SizeLimit::NotOffered => None,
        SizeLimit::Unlimited => Some("SIZE".to_owned()),
        SizeLimit::Octets(octets) => Some(format!("SIZE={octets}")),
    };
    let words = [
        (offered.pipelining, "PIPELINING"),
        (offered.eight_bit_mime, "8BITMIME"),
        (offered.smtputf8, "SMTPUTF8"),
        (offered.starttls, "STARTTLS"),
        (offered.dsn, "DSN"),
        (offered.require_tls, "REQUIRETLS"),
        (offered.chunking, "CHUNKING"),
        (offered.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
    ];
    size.into_iter().chain(words.iter().filter(|(is, _)| *is).map(|(_, word)| (*word).to_owned())).collect()
}

/// The error and what caused it; a refused certificate says all there is itself.
fn sentence(error: &HandoffError) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source.filter(|_| !matches!(error, HandoffError::Certificate { .. })) {
        words += &format!(": {cause}");
        source = cause.source();
    }
    words
}

fn list(args: &UpstreamListArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let uses_tokens = |upstream: &UpstreamConfig| matches!(upstream.login, UpstreamLogin::Tokens(_));
    let sign_ins = if config.upstreams.iter().any(uses_tokens) {
        wiring::vault(&config)?.list().context("the sign-ins cannot be read")?
    } else {
        vec![]
    };
    for upstream in &config.upstreams {
        let own: Vec<&SignIn> = sign_ins.iter().filter(|it| it.upstream == upstream.name).collect();
        let UpstreamConfig { name, host, port, .. } = upstream;
        let tls = match upstream.tls {
            Encryption::Implicit => "implicit",
            Encryption::StartTls => "starttls",
            Encryption::None => "none",
        };
        let auth = match upstream.login {
            UpstreamLogin::Account(_) => "login",
            UpstreamLogin::Tokens(_) => "xoauth2",
            UpstreamLogin::PassThrough => "pass-through",
            UpstreamLogin::None => "none",
        };
        if args.json {
            let sign_ins: Vec<Value> = own
                .iter()
                .map(|it| {
                    json!({
                        "address": it.address, "signed_in": it.signed_in.to_string(),
                        "access_expires": it.access_expires.to_string(),
                        "refresh_expires": it.refresh_expires.map(|at| at.to_string()), "trouble": it.trouble,
                    })
                })
                .collect();
            let line = json!({ "name": name, "host": host, "port": port, "tls": tls, "auth": auth, "sign_ins": sign_ins });
            say(&line.to_string());
            continue;
        }
        say(&format!("{name}  {host}:{port}  tls {tls}, auth {auth}"));
        for it in own {
            let until = it.refresh_expires.map(|at| format!(", good until {}", local_time(at)));
            let trouble = it.trouble.as_ref().map(|why| format!("; FAILS: {}", printable(why)));
            say(&format!(
                "  {}  signed in {}, token until {}{}{}",
                printable(&it.address),
                local_time(it.signed_in),
                local_time(it.access_expires),
                until.unwrap_or_default(),
                trouble.unwrap_or_default()
            ));
        }
    }
    Ok(exit::OK)
}

async fn login(args: &UpstreamLoginArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let upstream = named(&config, &args.name)?;
    let UpstreamLogin::Tokens(oauth) = &upstream.login else {
        let error =
            anyhow::anyhow!("{} has no auth = \"xoauth2\": there is nothing to sign in to", args.name);
        return Err(Failure::new(exit::USAGE, error));
    };
    let address = Mailbox::parse(&args.address)
        .with_context(|| format!("{:?} is not an address", args.address))
        .map_err(|error| Failure::new(exit::USAGE, error))?;
    let tokens = wiring::tokens(&config, upstream, oauth)?;
    let pkce = Pkce::new()?;
    let door = browser::Door::open(args.port).await.context("no port of this machine can be opened")?;
    let redirect_uri = format!("http://{}:{}/", oauth.redirect_host, door.port());
    let link = tokens.client().authorization_link(&pkce, &redirect_uri, address.as_str())?;
    eprintln!("Open this link in a browser on this machine, and sign in as {address}:\n");
    say(&link);
    eprintln!(
        "\nFrom elsewhere: ssh -L {port}:127.0.0.1:{port} … first. Waiting for the browser …",
        port = door.port()
    );
    let visit = tokio::time::timeout(Duration::from_secs(args.wait), door.code(&pkce.state)).await;
    let nobody = |_| anyhow::anyhow!("nobody came back from the browser in {} seconds", args.wait);
    let code = visit
        .map_err(|elapsed| Failure::new(exit::UNAVAILABLE, nobody(elapsed)))?
        .map_err(|error| Failure::new(exit::NO_PERMISSION, error))?;
    let signed_in = tokens.sign_in(address.as_str(), &code, &pkce, &redirect_uri).await;
    signed_in.map_err(|error| Failure::new(exit::UNAVAILABLE, error))?;
    eprintln!(
        "{address} is signed in; the token renews itself. Try it: waxseal upstream test {} --login {address}",
        args.name
    );
    Ok(exit::OK)
}

fn named<'a>(config: &'a Config, name: &str) -> Result<&'a UpstreamConfig, Failure> {
    config.upstreams.iter().find(|upstream| upstream.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        Failure::new(
            exit::USAGE,
            anyhow::anyhow!("there is no upstream {name:?}; there are: {}", names.join(", ")),
        )
    })
}
