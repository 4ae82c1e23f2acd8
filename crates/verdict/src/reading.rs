use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Display};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// One thing that is wrong with a rules file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, counted from 1, as far as it can be told.
    pub line: Option<usize>,
    /// One sentence, naming the block and the key.
    pub text: String,
}

/// Every mistake found so far: a rules file is refused with all of them, not only the first.
#[derive(Default)]
pub(crate) struct Mistakes(RefCell<Vec<(Vec<Step>, String)>>);

/// On the way from the whole file to one of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    /// Of a list, counted from 0.
    Item(usize),
}

/// A table of the file, its keys taken out one by one; what nobody took is unknown.
pub(crate) struct Section<'a> {
    at: String,
    steps: Vec<Step>,
    table: &'a Table,
    taken: RefCell<BTreeSet<&'static str>>,
    mistakes: &'a Mistakes,
}

/// What a value can be read as, and what to call it when it is something else.
pub(crate) trait Shape: Sized {
    const WORDS: &'static str;
    fn read(value: &Value) -> Option<Self>;
}

impl Mistakes {
    pub(crate) fn add(&self, mistake: impl Display) {
        self.add_at(Vec::new(), mistake);
    }

    pub(crate) fn add_at(&self, steps: Vec<Step>, mistake: impl Display) {
        self.0.borrow_mut().push((steps, mistake.to_string()));
    }

    /// All of them in the order of the file, the ones without a place last.
    pub(crate) fn into_list(self, toml: &str) -> Vec<Mistake> {
        let tree = DeTable::parse(toml).ok();
        let place = |steps: &[Step]| line_of(toml, tree.as_ref()?, steps);
        let mut list: Vec<Mistake> = self
            .0
            .into_inner()
            .into_iter()
            .map(|(steps, text)| Mistake { line: place(&steps), text })
            .collect();
        list.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        list
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// The line of the last step that is there; `None` if not even the first is.
fn line_of(toml: &str, tree: &Spanned<DeTable<'_>>, steps: &[Step]) -> Option<usize> {
    let mut found = None;
    let mut here: Option<&DeValue<'_>> = None;
    for step in steps {
        let (span, value) = match (step, here) {
            (Step::Key(key), None | Some(DeValue::Table(_))) => {
                let table = here.and_then(DeValue::as_table).unwrap_or(tree.get_ref());
                let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else { break };
                (name.span(), value)
            }
            (Step::Item(at), Some(DeValue::Array(items))) => {
                let Some(item) = items.get(*at) else { break };
                (item.span(), item)
            }
            _ => break,
        };
        found = Some(span.start);
        here = Some(value.get_ref());
    }
    let before = toml.get(..found?)?;
    Some(before.bytes().filter(|octet| *octet == b'\n').count() + 1)
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(crate) fn root(table: &'a Table, mistakes: &'a Mistakes) -> Self {
        Self::new("", Vec::new(), table, mistakes)
    }

    fn new(at: impl Into<String>, steps: Vec<Step>, table: &'a Table, mistakes: &'a Mistakes) -> Self {
        Self { at: at.into(), steps, table, taken: RefCell::default(), mistakes }
    }

    /// The key's value if it is there and of that shape.
    pub(crate) fn optional<T: Shape>(&self, key: &'static str) -> Option<T> {
        self.taken.borrow_mut().insert(key);
        let value = self.table.get(key)?;
        let read = T::read(value);
        if read.is_none() {
            self.wrong(key, format_args!("is {}, not {}", words_for(value), T::WORDS));
        }
        read
    }

    /// The key's value; a missing one is a mistake, and reading goes on with the type's default.
    pub(crate) fn required<T: Shape + Default>(&self, key: &'static str) -> T {
        if !self.table.contains_key(key) {
            self.taken.borrow_mut().insert(key);
            self.wrong(key, "is missing");
            return T::default();
        }
        self.optional(key).unwrap_or_default()
    }

    /// A code of a fixed vocabulary.
    pub(crate) fn code<T>(&self, key: &'static str, from_code: impl Fn(&str) -> Option<T>) -> Option<T> {
        let code: String = self.optional(key)?;
        let read = from_code(&code);
        if read.is_none() {
            self.wrong(key, format_args!("\"{code}\" is not one we know"));
        }
        read
    }

    /// Codes of a fixed vocabulary; `None` if the key is not there.
    pub(crate) fn codes<T>(
        &self,
        key: &'static str,
        from_code: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let codes: Vec<String> = self.optional(key)?;
        let mut read = Vec::with_capacity(codes.len());
        for code in codes {
            match from_code(&code) {
                Some(one) => read.push(one),
                None => self.wrong(key, format_args!("\"{code}\" is not one we know")),
            }
        }
        Some(read)
    }

    /// A table inside this one.
    pub(crate) fn optional_section(&self, key: &'static str) -> Option<Section<'a>> {
        self.taken.borrow_mut().insert(key);
        match self.table.get(key)? {
            Value::Table(table) => {
                Some(Section::new(self.name_of(key), self.steps_to(key), table, self.mistakes))
            }
            other => {
                self.wrong(key, format_args!("is {}, not a table", words_for(other)));
                None
            }
        }
    }

    /// A table that must be there.
    pub(crate) fn required_section(&self, key: &'static str) -> Option<Section<'a>> {
        if !self.table.contains_key(key) {
            self.taken.borrow_mut().insert(key);
            let what = format!("the section [{}] is missing", self.name_of(key));
            self.mistakes.add_at(self.steps.clone(), what);
            return None;
        }
        self.optional_section(key)
    }

    /// A list of tables, each named by its number or, where it has one, by `name_key`.
    pub(crate) fn sections(&self, key: &'static str, name_key: &str) -> Vec<Section<'a>> {
        self.taken.borrow_mut().insert(key);
        let items = match self.table.get(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong(key, format_args!("is {}, not a list of tables", words_for(other)));
                return Vec::new();
            }
        };
        let mut sections = Vec::with_capacity(items.len());
        for (number, item) in items.iter().enumerate() {
            let number = number + 1;
            let Value::Table(table) = item else {
                self.wrong(key, format_args!("{number} is {}, not a table", words_for(item)));
                continue;
            };
            let path = self.name_of(key);
            let at = match table.get(name_key).and_then(Value::as_str) {
                Some(name) => format!("{path} {number} ({name})"),
                None => format!("{path} {number}"),
            };
            let mut steps = self.steps_to(key);
            steps.push(Step::Item(number - 1));
            sections.push(Section::new(at, steps, table, self.mistakes));
        }
        sections
    }

    /// Every key and its text, for tables whose keys are data.
    pub(crate) fn texts(&self) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for (key, value) in self.table {
            match value {
                Value::String(text) => texts.push((key.clone(), text.clone())),
                other => self.wrong(key, format_args!("is {}, not a text", words_for(other))),
            }
        }
        texts
    }

    /// A mistake in one key of this table.
    pub(crate) fn wrong(&self, key: &str, what: impl Display) {
        self.mistakes.add_at(self.steps_to(key), format_args!("{}: {what}", self.name_of(key)));
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Names every key that nobody took, with the known one it may have meant.
    pub(crate) fn finish(self) {
        let taken = self.taken.borrow();
        for key in self.table.keys().filter(|key| !taken.contains(key.as_str())) {
            let near = taken
                .iter()
                .map(|known| (strsim::jaro_winkler(known, key), *known))
                .filter(|(likeness, _)| *likeness > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            match near {
                Some((_, known)) => {
                    self.wrong(key, format_args!("is not a key here; did you mean \"{known}\"?"));
                }
                None => self.wrong(key, "is not a key here"),
            }
        }
    }

    /// The way to this key, for checks that come later.
    pub(crate) fn steps_to(&self, key: &str) -> Vec<Step> {
        let mut steps = self.steps.clone();
        steps.push(Step::Key(key.to_owned()));
        steps
    }

    /// What a mistake in this key is called, for checks that come later.
    pub(crate) fn name_of(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }
}

fn words_for(value: &Value) -> &'static str {
    match value {
        Value::String(_) => String::WORDS,
        Value::Integer(_) => "a whole number",
        Value::Float(_) => f64::WORDS,
        Value::Boolean(_) => bool::WORDS,
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

impl Shape for String {
    const WORDS: &'static str = "a text";
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Shape for bool {
    const WORDS: &'static str = "true or false";
    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Shape for u32 {
    const WORDS: &'static str = "a whole number from 0";
    fn read(value: &Value) -> Option<Self> {
        value.as_integer().and_then(|number| Self::try_from(number).ok())
    }
}

impl Shape for i32 {
    const WORDS: &'static str = "a whole number";
    fn read(value: &Value) -> Option<Self> {
        value.as_integer().and_then(|number| Self::try_from(number).ok())
    }
}

impl Shape for f64 {
    const WORDS: &'static str = "a number";
    fn read(value: &Value) -> Option<Self> {
        let number = match value {
            Value::Float(number) => *number,
            Value::Integer(number) => f64::from(i32::try_from(*number).ok()?),
            _ => return None,
        };
        number.is_finite().then_some(number)
    }
}

impl<T: Shape> Shape for Vec<T> {
    const WORDS: &'static str = "a list of such values";
    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_named_with_their_place() {
        let toml = "# a comment\n[[net]]\nid = 'a'\n[[net]]\nid = 'b'\nasns = ['x']\n\n[clock]\nwait = 'long'\nwindo = 3\nextra = 1\n[clock.inner]\nverdict = 'robot'";
        let table: Table = toml.parse().unwrap();
        let mistakes = Mistakes::default();
        let file = Section::root(&table, &mistakes);
        for net in file.sections("net", "id") {
            net.required::<String>("id");
            net.optional::<Vec<u32>>("asns");
            net.finish();
        }
        let section = file.required_section("clock").unwrap();
        assert_eq!(section.optional::<f64>("wait"), None);
        assert_eq!(section.required::<u32>("window"), 0);
        let inner = section.optional_section("inner").unwrap();
        assert_eq!(inner.code("verdict", crate::Verdict::from_code), None);
        inner.finish();
        section.required_section("trust");
        section.finish();
        file.required_section("stages");
        file.finish();
        mistakes.add("nowhere in particular");
        let told: Vec<String> = mistakes.into_list(toml).iter().map(Mistake::to_string).collect();
        assert_eq!(
            told,
            [
                "line 6: net 2 (b).asns: is a list, not a list of such values",
                "line 8: clock.window: is missing",
                "line 8: the section [clock.trust] is missing",
                "line 9: clock.wait: is a text, not a number",
                "line 10: clock.windo: is not a key here; did you mean \"window\"?",
                "line 11: clock.extra: is not a key here",
                "line 13: clock.inner.verdict: \"robot\" is not one we know",
                "the section [stages] is missing",
                "nowhere in particular",
            ]
        );
    }
}
