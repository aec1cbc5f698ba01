//! Findings about a definition: what stands there, what was expected, and how to mend it.

use super::{Sources, Span};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know: AWS ignores it.
    Note,
    /// AWS would import it and ignore a part, or tollgate does less than it asks.
    Warning,
    /// AWS would refuse it, or it cannot be served.
    Error,
}

impl Severity {
    /// `note`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable code, `E0103`.
    pub code: &'static str,
    /// What stands there and what was expected, in one line.
    pub message: String,
    /// The place, where there is one.
    pub span: Option<Span>,
    /// Words beside the marked place.
    pub label: Option<String>,
    /// Further places with words beside them.
    pub related: Vec<(Span, String)>,
    /// How to mend it.
    pub help: Option<String>,
    /// True for a thing that AWS does and tollgate does not do yet: `--lenient`
    /// turns it into a warning.
    pub unsupported: bool,
}

impl Diagnostic {
    /// A finding; its code is listed in [`codes`](super::codes).
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            message: message.into(),
            span: None,
            label: None,
            related: Vec::new(),
            help: None,
            unsupported: false,
        }
    }

    /// A thing that AWS would refuse, or that cannot be served.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A thing that AWS would ignore, or do otherwise than it looks.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// Good to know.
    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }

    /// An error for a thing that AWS does and tollgate does not do yet: code
    /// `E0002`, and the message names the feature.
    pub fn unsupported(feature: impl std::fmt::Display) -> Self {
        let mut finding = Self::error("E0002", format!("{feature} is not supported yet"));
        finding.unsupported = true;
        finding.help = Some(
            "remove it, or serve with --lenient: what depends on it then does not work".to_owned(),
        );
        finding
    }

    /// Puts it at a place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Words beside the marked place.
    #[must_use]
    pub fn label(mut self, words: impl Into<String>) -> Self {
        self.label = Some(words.into());
        self
    }

    /// A further place with words beside it.
    #[must_use]
    pub fn related(mut self, span: Span, words: impl Into<String>) -> Self {
        self.related.push((span, words.into()));
        self
    }

    /// How to mend it.
    #[must_use]
    pub fn help(mut self, words: impl Into<String>) -> Self {
        self.help = Some(words.into());
        self
    }

    /// `did you mean …` with the nearest of `words`, where one is near.
    #[must_use]
    pub fn suggest<'a>(self, word: &str, words: impl IntoIterator<Item = &'a str>) -> Self {
        match super::nearest(word, words) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// The same as a warning, if it is an error for a thing that is not supported yet.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        if self.unsupported && self.severity == Severity::Error {
            self.severity = Severity::Warning;
        }
        self
    }
}

/// Findings, collected while reading goes on.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: impl Into<Diagnostic>) {
        self.0.push(diagnostic.into());
    }

    /// Adds findings.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(more);
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|one| one.severity == Severity::Error)
    }

    /// How many have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|one| one.severity == severity).count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Puts them in the order of the files and places they speak of; those without a place come
    /// first. What is said twice, as of an API with several stages, is said once.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|one| {
            one.span
                .map(|span| (span.file, span.start, std::cmp::Reverse(one.severity)))
        });
        self.0.dedup_by(|one, other| {
            one.code == other.code && one.span == other.span && one.message == other.message
        });
    }

    /// Turns errors for things that are not supported yet into warnings.
    pub fn lenient(&mut self) {
        for one in &mut self.0 {
            if one.unsupported && one.severity == Severity::Error {
                one.severity = Severity::Warning;
            }
        }
    }

    /// All of them drawn, each with an empty line behind it.
    pub fn draw(&self, sources: &Sources, colour: bool) -> String {
        let mut text = String::new();
        for one in &self.0 {
            text.push_str(&super::draw(one, sources, colour));
            text.push_str("\n\n");
        }
        text
    }
}

impl From<Box<Diagnostic>> for Diagnostic {
    fn from(boxed: Box<Diagnostic>) -> Self {
        *boxed
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
