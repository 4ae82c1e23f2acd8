use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use envelope::{Mailbox, Secret};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::address_pattern::AddressPattern;
use super::keys::{self, KEYS, Key, Kind, Preset};
use super::network::Network;
use super::problems::Complaint;
use super::reading::{self, Value};
use super::settings::ProxyConfig;
use super::source::Source;
use super::suggestion;

/// What the file says, key by key, each read as the table of keys wants it.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Every key that there can be only once.
    pub root: Section,
    /// Each `[[smtp]]`.
    pub listeners: Vec<Section>,
    /// Each `[upstream.NAME]`, in the order of the file.
    pub upstreams: Vec<Section>,
    /// Each `[[tracking.domain]]`.
    pub domains: Vec<Section>,
    /// Each `[[sender]]`.
    pub senders: Vec<Section>,
    /// Each `[[privacy.rule]]`.
    pub privacy_rules: Vec<Section>,
    /// Something stands where an upstream should, and that has been said.
    pub has_odd_upstream: bool,
}

/// The keys of one table of the file and of the tables within it.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// What stands between the brackets: `smtp`, `upstream.team`. Empty for the whole file.
    pub name: String,
    /// The last part of it, as it was written: `team`.
    pub own_name: String,
    /// Where it begins.
    pub span: Range<usize>,
    entries: BTreeMap<&'static str, Entry>,
}

/// A key that the file sets.
#[derive(Debug)]
pub(super) struct Entry {
    /// `upstream.team.host`.
    pub path: String,
    /// Where the key stands.
    pub key_span: Range<usize>,
    /// Where the value stands.
    pub span: Range<usize>,
    /// `None` when it was wrong, which has been said.
    value: Option<Value>,
}

/// What a [`Value`] is taken as.
pub(super) trait FromValue: Sized {
    /// `None` when it is of another kind.
    fn from_value(value: Value) -> Option<Self>;
}

impl Document {
    /// Walks `table`. Says what is unknown, not available or of the wrong kind, and lets `source` show the rest.
    pub(super) fn walk(
        table: &DeTable<'_>,
        source: &mut Source<'_>,
        complaints: &mut Vec<Complaint>,
    ) -> Self {
        let mut walk = Walk { document: Self::default(), source, complaints };
        let mut root = Section::default();
        walk.table(&mut root, "", "", table);
        walk.document.root = root;
        // The TOML tree is sorted by name; which upstream comes first is a thing the file says.
        walk.document.upstreams.sort_by_key(|section| section.span.start);
        walk.document
    }
}

struct Walk<'a, 't> {
    document: Document,
    source: &'a mut Source<'t>,
    complaints: &'a mut Vec<Complaint>,
}

impl Walk<'_, '_> {
    /// `holder` is the table's path among the keys, `path` what the file calls it.
    fn table(&mut self, section: &mut Section, holder: &str, path: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key_path = join(path, name.get_ref());
            match keys::find(&join(holder, name.get_ref())) {
                None => self.unknown(holder, path, &key_path, name, value),
                Some(key) => {
                    self.source.allow_key(name.span(), path);
                    self.known(section, key, key_path, name, value);
                }
            }
        }
    }

    fn known(
        &mut self,
        section: &mut Section,
        key: &'static Key,
        path: String,
        name: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        match (&key.kind, value.get_ref()) {
            (Kind::Later, _) => self.complaints.push(
                Complaint::new(format!("`{path}` is not available in this version"))
                    .key(path)
                    .at(name.span(), "belongs to a later version of Waxseal")
                    .help("take it out"),
            ),
            (Kind::Table | Kind::Inline, DeValue::Table(table)) => {
                self.table(section, key.path, &path, table);
            }
            (Kind::Tables, DeValue::Array(items)) => {
                for item in items {
                    match item.get_ref() {
                        DeValue::Table(table) => self.repeated(key, &path, item.span(), table),
                        _ => self.not_a_table(key, &path, item.span()),
                    }
                }
            }
            (Kind::Named, DeValue::Table(table)) => {
                for (name, item) in table {
                    self.source.allow_key(name.span(), &path);
                    let path = join(&path, name.get_ref());
                    match item.get_ref() {
                        DeValue::Table(table) => {
                            let mut section =
                                Section::new(path.clone(), name.get_ref().to_string(), name.span());
                            self.table(&mut section, &join(key.path, "*"), &path, table);
                            self.document.upstreams.push(section);
                        }
                        _ => self.not_a_table(key, &path, name.span()),
                    }
                }
            }
            (Kind::Table | Kind::Inline | Kind::Tables | Kind::Named, _) => {
                self.not_a_table(key, &path, name.span());
            }
            _ => {
                reading::allow(key, value, self.source);
                let read = reading::read(key, &path, value, self.complaints);
                let entry = Entry { path, key_span: name.span(), span: value.span(), value: read };
                section.entries.insert(key.path, entry);
            }
        }
    }

    /// One of several tables of the same name.
    fn repeated(&mut self, key: &Key, path: &str, span: Range<usize>, table: &DeTable<'_>) {
        if self.source.holds(&span, &format!("[[{path}]]")) {
            self.source.allow(span.clone());
        }
        let mut section = Section::new(path.to_owned(), path.to_owned(), span);
        self.table(&mut section, &format!("{}[]", key.path), path, table);
        let sections = match key.path {
            "smtp" => &mut self.document.listeners,
            "tracking.domain" => &mut self.document.domains,
            "privacy.rule" => &mut self.document.privacy_rules,
            _ => &mut self.document.senders,
        };
        sections.push(section);
    }

    fn not_a_table(&mut self, key: &Key, path: &str, span: Range<usize>) {
        self.document.has_odd_upstream |= matches!(key.kind, Kind::Named);
        let (must, help) = match key.kind {
            Kind::Tables => {
                ("must be a list of tables", format!("write [[{}]] above its settings", key.path))
            }
            Kind::Named => (
                "must be a table with a name of its own",
                format!("write [{}.NAME] above its settings; the name is yours", key.path),
            ),
            Kind::Inline => ("must be a table", format!("write {} = {{ … }}", key.name())),
            _ => ("must be a table", format!("write [{}] above its settings", key.path)),
        };
        self.complaints.push(
            Complaint::new(format!("`{path}` {must}")).key(path).at(span, "of another form").help(help),
        );
    }

    fn unknown(
        &mut self,
        holder: &str,
        within: &str,
        path: &str,
        name: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let written = name.get_ref().as_ref();
        let meant = suggestion::nearest(written, keys::within(holder).map(Key::name))
            .and_then(|meant| keys::within(holder).find(|key| key.name() == meant));
        self.source.allow_key(name.span(), within);
        // A slip in a known key: if the value is right for that key, it may be seen if that key's may.
        // Anything else may be anything.
        let is_right = |key: &Key| reading::read(key, path, value, &mut Vec::new()).is_some();
        let names_a_file = |key: &Key| matches!(key.kind, Kind::Path | Kind::PasswordFile);
        if let Some(key) = meant
            && (names_a_file(key) || !suggestion::sounds_secret(written))
            && is_right(key)
        {
            reading::allow(key, value, self.source);
        }
        let help = match meant {
            Some(key) if key.is_available() => format!("did you mean `{}`?", key.name()),
            Some(key) => format!("did you mean `{}`? It is not available in this version", key.name()),
            None => elsewhere(written).unwrap_or_else(|| known_here(holder)),
        };
        self.complaints.push(
            Complaint::new(format!("unknown key `{path}`"))
                .key(path)
                .at(name.span(), "not a setting Waxseal knows")
                .help(help),
        );
    }
}

/// Where a key of this name does belong.
fn elsewhere(name: &str) -> Option<String> {
    let tables: Vec<String> = KEYS
        .iter()
        .filter(|key| key.is_available() && !key.is_holder() && key.name() == name)
        .map(|key| in_brackets(key.holder()))
        .collect();
    (!tables.is_empty()).then(|| format!("`{name}` belongs under {}", tables.join(" or ")))
}

fn known_here(holder: &str) -> String {
    let names: Vec<&str> = keys::within(holder).filter(|key| key.is_available()).map(Key::name).collect();
    format!("known here: {}", suggestion::listed(&names))
}

/// `[[smtp]]` for `smtp[]`, `[upstream.NAME]` for `upstream.*`.
fn in_brackets(holder: &str) -> String {
    match holder.strip_suffix("[]") {
        Some(name) => format!("[[{name}]]"),
        None => format!("[{}]", holder.replace('*', "NAME")),
    }
}

/// `path.name`, the name in quotes if TOML wants them.
fn join(path: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-*".contains(c);
    let name = if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

impl Section {
    fn new(name: String, own_name: String, span: Range<usize>) -> Self {
        Self { name, own_name, span, entries: BTreeMap::new() }
    }

    /// The key as the file sets it.
    pub(super) fn entry(&self, key: &'static str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// What holds for `key`: what the file says, else the default. `None` when there is neither, or when
    /// what the file says is wrong.
    pub(super) fn get<T: FromValue>(&self, key: &'static str) -> Option<T> {
        let value = match self.entries.get(key) {
            Some(entry) => entry.value.clone()?,
            None => default(key)?,
        };
        T::from_value(value)
    }

    /// Was there something at `key` that could not be read? Then rules that ask for it are silent.
    pub(super) fn is_wrong(&self, key: &'static str) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.value.is_none())
    }
}

/// The default of `key`, read like a value of the file.
fn default(path: &'static str) -> Option<Value> {
    let key = keys::find(path)?;
    let Preset::Default(text) = key.preset else { return None };
    let value = DeValue::parse(text).ok()?;
    reading::read(key, path, &value, &mut Vec::new())
}

macro_rules! from_value {
    ($($kind:ident => $type:ty),* $(,)?) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$kind(value) => Some(value),
                    _ => None,
                }
            }
        }
    )*};
}

from_value! {
    Flag => bool,
    Number => u64,
    Period => Duration,
    Text => String,
    Texts => Vec<String>,
    Word => &'static str,
    Words => Vec<&'static str>,
    Listen => SocketAddr,
    Networks => Vec<Network>,
    Patterns => Vec<AddressPattern>,
    Mailbox => Mailbox,
    Mailboxes => Vec<(Mailbox, Range<usize>)>,
    Path => PathBuf,
    Secret => Secret,
    Proxy => ProxyConfig,
}
