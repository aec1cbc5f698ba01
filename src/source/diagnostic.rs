//! Findings about a definition: what stands there, what was expected, and how to mend it.

use super::Span;

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

/// Findings, collected while reading goes on.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);
