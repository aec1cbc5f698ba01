//! Findings for people and for programs.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::json;

use super::{Diagnostic, Severity, Sources, Span};

/// A longer line (JSON on one line) is shown in part.
const LONGEST_LINE: usize = 300;

/// A finding with the lines it speaks of, as rustc draws its own; without a
/// line break at the end.
///
/// `colour` adds ANSI escapes. Control characters of the document do not reach
/// the terminal.
pub fn draw(finding: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let level = match finding.severity {
        Severity::Note => Level::NOTE,
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let mut group = Group::with_title(
        level
            .primary_title(printable(&finding.message))
            .id(finding.code),
    );
    let primary = finding.span.map(|span| Excerpt::of(span, sources));
    let related: Vec<(Excerpt, &str)> = finding
        .related
        .iter()
        .map(|(span, words)| (Excerpt::of(*span, sources), words.as_str()))
        .collect();
    if let Some(excerpt) = &primary {
        group = excerpt.element(
            group,
            AnnotationKind::Primary,
            finding.label.as_deref().unwrap_or_default(),
        );
    }
    for (excerpt, words) in &related {
        group = excerpt.element(group, AnnotationKind::Context, words);
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(printable(help)));
    }
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut drawn = renderer.render(&[group]);
    for excerpt in primary.iter().chain(related.iter().map(|(one, _)| one)) {
        excerpt.correct_column(&mut drawn);
    }
    drawn
}

/// A finding as one JSON object on one line: `severity`, `code`, `message`, and
/// where there is a place `file`, `line`, `column`, `endLine`, `endColumn`,
/// `excerpt`; `help` and `related` where there are some.
pub fn json_line(finding: &Diagnostic, sources: &Sources) -> String {
    let mut object = json!({
        "severity": finding.severity.as_str(),
        "code": finding.code,
        "message": finding.message,
    });
    let place = |span: Span| {
        let at = sources.location(span);
        json!({
            "file": at.path.to_string_lossy(),
            "line": at.line,
            "column": at.column,
            "endLine": at.end_line,
            "endColumn": at.end_column,
            "excerpt": Excerpt::of(span, sources).text,
        })
    };
    if let (Some(span), Some(object)) = (finding.span, object.as_object_mut())
        && let serde_json::Value::Object(fields) = place(span)
    {
        object.extend(fields);
    }
    if let Some(help) = &finding.help {
        object["help"] = json!(help);
    }
    if !finding.related.is_empty() {
        object["related"] = finding
            .related
            .iter()
            .map(|(span, words)| {
                let mut at = place(*span);
                at["message"] = json!(words);
                at
            })
            .collect();
    }
    if finding.unsupported {
        object["unsupported"] = json!(true);
    }
    object.to_string()
}

/// The first line of a place, or the part of it that fits.
struct Excerpt {
    text: String,
    path: String,
    line: usize,
    column: usize,
    mark: Range<usize>,
    whole: bool,
}

impl Excerpt {
    fn of(span: Span, sources: &Sources) -> Self {
        let text = sources.text(span.file);
        let place = sources.location(span);
        let (start, end) = sources.line_range(span.file, span.start);
        let back = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let mark_start = back((span.start as usize).clamp(start, end));
        let mark_end = back((span.end as usize).clamp(mark_start, end));
        let whole = end - start <= LONGEST_LINE;
        let (from, to) = if whole {
            (start, end)
        } else {
            (
                back(mark_start.saturating_sub(LONGEST_LINE / 3).max(start)),
                back((mark_start + LONGEST_LINE).min(end)),
            )
        };
        let mark_end = mark_end.min(to);
        Self {
            text: text.get(from..to).unwrap_or("").to_owned(),
            path: printable(&place.path.to_string_lossy()),
            line: place.line,
            column: place.column,
            mark: mark_start - from..mark_end - from,
            whole,
        }
    }

    fn element<'a>(&'a self, group: Group<'a>, kind: AnnotationKind, words: &str) -> Group<'a> {
        let mut mark = kind.span(self.mark.clone());
        if !words.is_empty() {
            mark = mark.label(printable(words));
        }
        let snippet = Snippet::source(self.text.as_str())
            .line_start(self.line)
            .path(self.path.as_str())
            .annotation(mark);
        group.element(snippet)
    }

    /// The picture of a long line starts within it, so that its own column is wrong.
    fn correct_column(&self, drawn: &mut String) {
        if !self.whole {
            let column = self.text[..self.mark.start].chars().count() + 1;
            let place = format!("{}:{}:", self.path, self.line);
            let right = format!("{place}{}", self.column);
            *drawn = drawn.replacen(&format!("{place}{column}"), &right, 1);
        }
    }
}

/// Text of a document without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn sources() -> (Sources, Span, Span) {
        let mut sources = Sources::new();
        let text =
            "paths:\n  /pets:\n    get:\n      operationId: ünïque # \u{1b}[31m\n    get: {}\n";
        let file = sources.add_text("api.yaml", text);
        let find = |word: &str, from: usize| {
            let start = text[from..].find(word).unwrap() + from;
            Span {
                file,
                start: start as u32,
                end: (start + word.len()) as u32,
            }
        };
        let (first, second) = (find("get", 0), find("get: {}", 0));
        (sources, first, second)
    }

    #[test]
    fn a_finding_shows_its_lines() {
        let (sources, first, second) = sources();
        let finding = Diagnostic::error("E0103", "the key `get` stands here twice")
            .at(Span {
                end: second.start + 3,
                ..second
            })
            .label("second time")
            .related(first, "first time")
            .help("remove one of them");

        assert_snapshot!(draw(&finding, &sources, false), @r"
error[E0103]: the key `get` stands here twice
 --> api.yaml:5:5
  |
5 |     get: {}
  |     ^^^ second time
  |
 ::: api.yaml:3:5
  |
3 |     get:
  |     --- first time
  |
  = help: remove one of them
");
        assert_snapshot!(json_line(&finding, &sources), @r#"{"severity":"error","code":"E0103","message":"the key `get` stands here twice","file":"api.yaml","line":5,"column":5,"endLine":5,"endColumn":8,"excerpt":"    get: {}","help":"remove one of them","related":[{"file":"api.yaml","line":3,"column":5,"endLine":3,"endColumn":8,"excerpt":"    get:","message":"first time"}]}"#);
    }

    #[test]
    fn a_place_of_many_lines_shows_the_first() {
        let (sources, first, second) = sources();
        let span = Span {
            end: second.end,
            ..first
        };

        assert_snapshot!(draw(&Diagnostic::note("N0001", "all of it").at(span), &sources, false), @r"
note[N0001]: all of it
 --> api.yaml:3:5
  |
3 |     get:
  |     ^^^^
");
    }

    #[test]
    fn a_long_line_is_shown_in_part_with_its_true_column() {
        let mut sources = Sources::new();
        let text = format!("{{\"a\":\"{}\",\"wrong\":1}}", "ä".repeat(500));
        let start = text.find("\"wrong\"").unwrap();
        let file = sources.add_text("api.json", text);
        let span = Span {
            file,
            start: start as u32,
            end: start as u32 + 7,
        };

        assert_snapshot!(draw(&Diagnostic::error("E0104", "bad\u{1b}[2J").at(span), &sources, false), @r#"
error[E0104]: bad�[2J
 --> api.json:1:509
  |
1 | äääääääääääääääääääääääääääääääääääääääääääääääää","wrong":1}
  |                                                    ^^^^^^^
"#);
    }
}
