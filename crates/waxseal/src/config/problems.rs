use std::fmt;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin, Padding, Renderer, Snippet, normalize_untrusted_str,
};
use serde_json::{Value as Json, json};

use super::source::{Place, Shown, Source};

/// Everything that is wrong with a configuration, found at once.
///
/// Holds no text of the file that could be a secret, so neither printing it nor `Debug` can show one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    kind: ProblemKind,
    list: Vec<Problem>,
}

/// What kind of failure it is, for the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The file says something wrong (78).
    Config,
    /// There is no such file (66).
    NotFound,
    /// We may not read it (77).
    NoPermission,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    message: String,
    key: Option<String>,
    place: Option<Place>,
    label: String,
    help: Option<String>,
}

/// A mistake as it is found, before it is known which octets of the file may be shown.
#[derive(Debug)]
pub(super) struct Complaint {
    message: String,
    key: Option<String>,
    span: Option<Range<usize>>,
    label: String,
    help: Option<String>,
}

impl Complaint {
    /// `message` says what is wrong. No text of the file belongs in it, nor in what is added later, except
    /// names of keys and what was read as an address, a number or one of our own words.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), key: None, span: None, label: String::new(), help: None }
    }

    /// The full path of the key.
    #[must_use]
    pub(super) fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Where, in octets of the file, and what is to be said right there.
    #[must_use]
    pub(super) fn at(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.span = Some(span);
        self.label = label.into();
        self
    }

    /// What to write instead.
    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Problems {
    /// In the order of the file, whatever order they were found in.
    pub(super) fn new(file: &str, mut complaints: Vec<Complaint>, source: &Source<'_>) -> Self {
        complaints.sort_by_key(|complaint| complaint.span.as_ref().map_or(usize::MAX, |span| span.start));
        let problems = complaints.into_iter().map(|complaint| Problem {
            place: complaint.span.map(|span| source.place(&span)),
            message: complaint.message,
            key: complaint.key,
            label: complaint.label,
            help: complaint.help,
        });
        Self { file: file.to_owned(), kind: ProblemKind::Config, list: problems.collect() }
    }

    /// A file that could not be read at all.
    pub(super) fn unreadable(file: &str, kind: ProblemKind, message: String, help: Option<String>) -> Self {
        let problem = Problem { message, key: None, place: None, label: String::new(), help };
        Self { file: file.to_owned(), kind, list: vec![problem] }
    }

    /// What was found in the files that the configuration names; `None` when that is nothing. Each is what is
    /// wrong, the key it is about and what to do.
    pub(crate) fn of_files(file: &Path, found: Vec<(String, &'static str, Option<String>)>) -> Option<Self> {
        let problem = |(message, key, help): (String, &str, _)| Problem {
            message,
            key: Some(key.to_owned()),
            place: None,
            label: String::new(),
            help,
        };
        let list: Vec<_> = found.into_iter().map(problem).collect();
        let file = file.display().to_string();
        (!list.is_empty()).then_some(Self { file, kind: ProblemKind::Config, list })
    }

    /// How many there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "never empty: without a problem there is a `Config`")]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// For people: each mistake with its place and what to write instead, then how many there are.
    /// Ends with a line end. `color` adds escape sequences for a terminal; the text of the file cannot.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for problem in &self.list {
            text += &renderer.render(&[problem.report(&printable(&self.file))]);
            text += "\n\n";
        }
        let (file, count) = (printable(&self.file), self.list.len());
        text + &format!("{file}: {count} problem(s) found; nothing was changed.\n")
    }

    /// The same for programs: a list of `{level, message, key, file, line, column, note, help}`, all of the level
    /// "error". Lines and columns (in characters) count from 1; what does not apply is null.
    pub fn to_json(&self) -> Json {
        let record = |problem: &Problem| {
            json!({
                "level": "error",
                "message": problem.message,
                "key": problem.key,
                "file": self.file,
                "line": problem.place.as_ref().map(|place| place.line),
                "column": problem.place.as_ref().map(|place| place.column),
                "note": Some(&problem.label).filter(|label| !label.is_empty()),
                "help": problem.help,
            })
        };
        self.list.iter().map(record).collect()
    }
}

impl Problem {
    fn report<'a>(&'a self, file: &str) -> Group<'a> {
        let title = Group::with_title(Level::ERROR.primary_title(printable(&self.message)));
        let report = match &self.place {
            None => title.element(Origin::path(file.to_owned())).element(Padding),
            Some(place) => {
                let Shown { text, caret } = place.shown.clone().unwrap_or_else(|| place.unseen());
                let caret = AnnotationKind::Primary.span(caret);
                let caret = if self.label.is_empty() { caret } else { caret.label(printable(&self.label)) };
                let snippet = Snippet::source(text).line_start(place.line).path(file.to_owned());
                title.element(snippet.annotation(caret))
            }
        };
        let is_unseen = self.place.as_ref().is_some_and(|place| place.shown.is_none());
        let report = if is_unseen {
            report.element(Level::NOTE.message("the line is not shown, because it may hold a secret"))
        } else {
            report
        };
        match &self.help {
            Some(help) => report.element(Level::HELP.message(printable(help))),
            None => report,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

/// `text` without anything that could move a terminal's cursor or turn its writing around.
fn printable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    normalize_untrusted_str(&plain)
}
