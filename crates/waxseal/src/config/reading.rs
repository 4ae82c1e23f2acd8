use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use envelope::{Mailbox, Secret};
use toml::Spanned;
use toml::de::DeValue;

use super::address_pattern::AddressPattern;
use super::forms;
use super::keys::{Key, Kind, Preset};
use super::network::Network;
use super::problems::Complaint;
use super::settings::ProxyConfig;
use super::source::Source;
use super::suggestion;
use super::units;

/// What stands at a key, read as its kind says.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Flag(bool),
    /// A number, or a size in octets.
    Number(u64),
    Period(Duration),
    Text(String),
    Texts(Vec<String>),
    Word(&'static str),
    Words(Vec<&'static str>),
    Listen(SocketAddr),
    Networks(Vec<Network>),
    Patterns(Vec<AddressPattern>),
    Mailbox(Mailbox),
    /// Each with its place in the file.
    Mailboxes(Vec<(Mailbox, Range<usize>)>),
    Path(PathBuf),
    Secret(Secret),
    Proxy(ProxyConfig),
}

/// What is wrong with a value. No text of the value belongs in here: it may be a secret.
pub(super) struct Wrong {
    /// Goes on from the key's path: "must be …".
    must: String,
    label: &'static str,
    help: Option<String>,
}

/// Reads `value` as `key` wants it; `path` is what the file calls the key. `None`: complaints were made.
pub(super) fn read(
    key: &Key,
    path: &str,
    value: &Spanned<DeValue<'_>>,
    complaints: &mut Vec<Complaint>,
) -> Option<Value> {
    let mut complain = |span: Range<usize>, wrong: Wrong| {
        let complaint = Complaint::new(format!("`{path}` {}", wrong.must)).key(path).at(span, wrong.label);
        complaints.push(match wrong.help {
            Some(help) => complaint.help(help),
            None => complaint,
        });
    };
    if !is_list(&key.kind) {
        return scalar(key, value.get_ref()).map_err(|wrong| complain(value.span(), wrong)).ok();
    }
    let DeValue::Array(items) = value.get_ref() else {
        complain(value.span(), wrong_type(key, value.get_ref()));
        return None;
    };
    let mut list = List::new(&key.kind);
    let mut whole = true;
    for item in items {
        if let Err(wrong) = list.push(key, item) {
            complain(item.span(), wrong);
            whole = false;
        }
    }
    if whole && items.is_empty() && matches!(key.kind, Kind::Senders) {
        complain(
            value.span(),
            Wrong::new("must not be empty", "matches nobody").help("write [\"*\"] for everybody"),
        );
        whole = false;
    }
    whole.then_some(list.0)
}

/// Lets `value` be shown, as far as it is plainly what `key` is for and no secret.
pub(super) fn allow(key: &Key, value: &Spanned<DeValue<'_>>, source: &mut Source<'_>) {
    match value.get_ref() {
        DeValue::Array(items) if is_list(&key.kind) => {
            items.iter().for_each(|item| allow_scalar(key, item, source));
        }
        _ => allow_scalar(key, value, source),
    }
}

fn allow_scalar(key: &Key, value: &Spanned<DeValue<'_>>, source: &mut Source<'_>) {
    let harmless = match value.get_ref() {
        _ if key.is_secret() || key.is_holder() => false,
        DeValue::String(text) => match key.kind {
            Kind::Path => text.is_empty() || is_plainly_a_path(text) || has_extension(text),
            // Whoever mistakes `password_file` for `password` writes the password here.
            Kind::PasswordFile => is_plainly_a_path(text),
            Kind::Host => !text.contains(['@', '/']),
            Kind::BaseUrl | Kind::BaseUrls | Kind::Endpoint | Kind::StoreUrl | Kind::LinkPatterns => {
                !text.contains(['@', '?', '#', ';'])
            }
            _ => !(text.contains('@') && text.contains(['/', ':'])),
        },
        DeValue::Array(_) | DeValue::Table(_) => false,
        _ => !matches!(key.kind, Kind::Path | Kind::PasswordFile),
    };
    if harmless {
        source.allow(value.span());
    }
}

/// Two segments at least, the first at the root or in a folder that is named by dots.
fn is_plainly_a_path(text: &str) -> bool {
    let rooted = text.starts_with('/') || text.starts_with("./") || text.starts_with("../");
    rooted && is_plain(text) && !text.contains("//") && text.matches('/').count() >= 2
}

/// `certificates/key.pem`: what is no path does not end like this.
fn has_extension(text: &str) -> bool {
    let (name, extension) = text.rsplit_once('.').unwrap_or_default();
    !name.is_empty() && is_plain(text) && ["pem", "crt", "cer", "key", "db", "d", "toml"].contains(&extension)
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-@:".contains(c))
}

fn is_list(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Words(..)
            | Kind::Networks
            | Kind::Senders
            | Kind::Recipients
            | Kind::Mailboxes
            | Kind::LinkPatterns
            | Kind::BaseUrls
    )
}

/// A list under way.
struct List(Value);

impl List {
    fn new(kind: &Kind) -> Self {
        Self(match kind {
            Kind::Words(..) => Value::Words(Vec::new()),
            Kind::Networks => Value::Networks(Vec::new()),
            Kind::Mailboxes => Value::Mailboxes(Vec::new()),
            Kind::LinkPatterns | Kind::BaseUrls => Value::Texts(Vec::new()),
            _ => Value::Patterns(Vec::new()),
        })
    }

    fn push(&mut self, key: &Key, item: &Spanned<DeValue<'_>>) -> Result<(), Wrong> {
        let DeValue::String(text) = item.get_ref() else {
            return Err(Wrong::new("must be a list of texts, in quotes", type_label(item.get_ref()))
                .help(sample(key)));
        };
        match &mut self.0 {
            Value::Words(words) => {
                let word = word(key, text)?;
                if words.contains(&word) {
                    return Err(Wrong::new("names something twice", "named before"));
                }
                words.push(word);
            }
            Value::Networks(networks) => networks.push(forms::network(text)?),
            Value::Mailboxes(mailboxes) => mailboxes.push((forms::mailbox(text)?, item.span())),
            Value::Texts(texts) if matches!(key.kind, Kind::BaseUrls) => texts.push(forms::base_url(text)?),
            Value::Texts(texts) => texts.push(forms::link_pattern(text)?),
            Value::Patterns(patterns) => patterns.push(forms::pattern(key, text)?),
            // `new` makes no other.
            _ => {}
        }
        Ok(())
    }
}

fn scalar(key: &Key, value: &DeValue<'_>) -> Result<Value, Wrong> {
    match (&key.kind, value) {
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Number(least, most), DeValue::Integer(number)) => {
            let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
            let number = number.filter(|number| (least..=most).contains(&number));
            number.map(Value::Number).ok_or_else(|| match (least, most) {
                (1, 1) => Wrong::new("must be 1 in this version", "a layout this version does not know"),
                _ => Wrong::new(format!("must be between {least} and {most}"), "out of range"),
            })
        }
        (Kind::Period(..) | Kind::WordOrPeriod(..), DeValue::Integer(number)) => {
            Err(units::bare_number(key, number.as_str(), "s"))
        }
        (Kind::Octets(_), DeValue::Integer(number)) => Err(units::bare_number(key, number.as_str(), "B")),
        (_, DeValue::String(text)) => from_text(key, text),
        (_, value) => Err(wrong_type(key, value)),
    }
}

fn from_text(key: &Key, text: &str) -> Result<Value, Wrong> {
    match &key.kind {
        Kind::Octets(least) => units::octets(key, text, *least).map(Value::Number),
        Kind::WordOrPeriod(word, ..) if text == *word => Ok(Value::Word(word)),
        Kind::Period(least, most) | Kind::WordOrPeriod(_, least, most) => {
            units::period(key, text, *least, *most).map(Value::Period)
        }
        Kind::Word(..) => word(key, text).map(Value::Word),
        Kind::Hostname => forms::hostname(text).map(Value::Text),
        Kind::Host => forms::host(text).map(Value::Text),
        Kind::Text | Kind::SecretName => forms::plain_text(text).map(Value::Text),
        Kind::FieldName => forms::field_name(text).map(Value::Text),
        Kind::BaseUrl => forms::base_url(text).map(Value::Text),
        Kind::Contact => forms::contact(text).map(Value::Text),
        Kind::StoreUrl => forms::store_url(text).map(Value::Path),
        Kind::Listen => forms::listen(text).map(Value::Listen),
        Kind::Mailbox => forms::mailbox(text).map(Value::Mailbox),
        Kind::Path | Kind::PasswordFile => forms::path(text).map(Value::Path),
        Kind::Secret => forms::secret(text).map(Value::Secret),
        Kind::Proxy => forms::proxy(text).map(Value::Proxy),
        Kind::Endpoint => forms::endpoint(text).map(Value::Text),
        Kind::PasswordHash => forms::password_hash(text).map(Value::Secret),
        _ => Err(wrong_type(key, &DeValue::String(text.into()))),
    }
}

impl Wrong {
    pub(super) fn new(must: impl Into<String>, label: &'static str) -> Self {
        Self { must: must.into(), label, help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

pub(super) fn wrong_type(key: &Key, value: &DeValue<'_>) -> Wrong {
    let must = match key.kind {
        Kind::Flag => "must be true or false",
        Kind::Number(..) => "must be a whole number",
        Kind::Period(..) | Kind::WordOrPeriod(..) => "must be a duration with its unit, in quotes",
        Kind::Octets(_) => "must be a size with its unit, in quotes",
        _ if is_list(&key.kind) => "must be a list",
        _ => "must be text, in quotes",
    };
    Wrong::new(must, type_label(value)).help(sample(key))
}

fn type_label(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "this is text",
        DeValue::Integer(_) => "this is a whole number",
        DeValue::Float(_) => "this is a number with a fraction",
        DeValue::Boolean(_) => "this is true or false",
        DeValue::Datetime(_) => "this is a date or a time",
        DeValue::Array(_) => "this is a list",
        DeValue::Table(_) => "this is a table",
    }
}

/// How the key is written.
pub(super) fn sample(key: &Key) -> String {
    // An empty list shows nobody how to fill it.
    let item = match key.kind {
        Kind::Networks => "\"10.0.0.0/8\"",
        Kind::Words(words, _) if words.contains(&"opens") => "\"opens\", \"links\"",
        Kind::Recipients => "\"*@example.org\"",
        Kind::Mailboxes => "\"sales@example.com\"",
        Kind::LinkPatterns => "\"*.example.com/unsubscribe*\"",
        Kind::BaseUrls => "\"https://old.example.com\"",
        _ => "",
    };
    match key.preset {
        Preset::Default("[]") if !item.is_empty() => format!("write it like this: {} = [{item}]", key.name()),
        Preset::Default(text) | Preset::Needed(text) | Preset::Optional(text) => {
            format!("write it like this: {} = {text}", key.name())
        }
        Preset::Holds => format!("`{}` holds other settings", key.name()),
    }
}

fn word(key: &Key, text: &str) -> Result<&'static str, Wrong> {
    let (Kind::Word(words, later) | Kind::Words(words, later)) = key.kind else {
        return Err(wrong_type(key, &DeValue::String(text.into())));
    };
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(word);
    }
    let choices = suggestion::listed(words);
    if let Some(word) = later.iter().find(|word| **word == text) {
        let must = format!("cannot be \"{word}\": it is not available in this version");
        return Err(
            Wrong::new(must, "not available in this version").help(format!("what there is: {choices}"))
        );
    }
    let wrong = Wrong::new(
        format!("must be {}{choices}", if words.len() > 1 { "one of " } else { "" }),
        "none of these",
    );
    Err(match suggestion::nearest(text, words.iter().copied()) {
        Some(word) => wrong.help(format!("did you mean \"{word}\"?")),
        None => wrong,
    })
}
