//! The files that were read, and where in them a span stands.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::{Diagnostic, Diagnostics, FileId, Node, Span, json, yaml};

/// Largest file that is read, in bytes. AWS takes definitions up to 6 MB
/// ("Amazon API Gateway quotas"); a configuration may be larger, but not by much.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// Every file that was read, by [`FileId`].
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
    /// Files that could not be read.
    unread: Vec<PathBuf>,
}

#[derive(Clone, Debug)]
struct SourceFile {
    path: PathBuf,
    text: Arc<str>,
    line_starts: OnceLock<Vec<u32>>,
}

/// Where a span stands, for people: lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, as it was named.
    pub path: PathBuf,
    /// First line.
    pub line: usize,
    /// First column.
    pub column: usize,
    /// Last line.
    pub end_line: usize,
    /// One past the last column.
    pub end_column: usize,
}

impl Sources {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a file and keeps its text. A file that was read already is not read again.
    ///
    /// # Errors
    ///
    /// A finding that says what is wrong: missing, a directory, too large, not UTF-8.
    pub fn add_path(&mut self, path: &Path) -> Result<FileId, Box<Diagnostic>> {
        let added = self.read_path(path);
        if added.is_err() {
            self.unread.push(path.to_owned());
        }
        added
    }

    fn read_path(&mut self, path: &Path) -> Result<FileId, Box<Diagnostic>> {
        if let Some(index) = self.files.iter().position(|file| file.path == path) {
            return Ok(FileId(index_u32(index)));
        }
        let refuse_as = |code: &'static str, what: String, help: &str| {
            Box::new(
                Diagnostic::error(code, format!("cannot read {}: {what}", path.display()))
                    .help(help),
            )
        };
        let refuse = |what: String, help: &str| refuse_as("E0001", what, help);
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(refuse(
                    "there is no such file".to_owned(),
                    "check the path; it is taken from the current folder",
                ));
            }
            Err(error) => return Err(refuse(error.to_string(), "check the file's permissions")),
            Ok(meta) if meta.is_dir() => {
                return Err(refuse(
                    "it is a folder".to_owned(),
                    "name the file in it, for example openapi.yaml",
                ));
            }
            Ok(meta) if meta.len() > LARGEST_FILE => {
                return Err(refuse_as(
                    "E0003",
                    format!(
                        "it has {} bytes, more than the {LARGEST_FILE} that are read",
                        meta.len()
                    ),
                    "AWS takes definitions up to 6 MB",
                ));
            }
            Ok(_) => {}
        }
        let bytes = std::fs::read(path)
            .map_err(|error| refuse(error.to_string(), "check the file's permissions"))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(self.add_text(path, text)),
            Err(error) => {
                let offset = error.utf8_error().valid_up_to();
                let line = 1 + error.as_bytes()[..offset]
                    .iter()
                    .filter(|&&byte| byte == b'\n')
                    .count();
                Err(refuse_as(
                    "E0003",
                    format!("it is not UTF-8 text (byte {offset}, line {line})"),
                    "save it as UTF-8",
                ))
            }
        }
    }

    /// Keeps a text under a name. A byte order mark at its start is dropped.
    pub fn add_text(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> FileId {
        let mut text: String = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        self.files.push(SourceFile {
            path: path.into(),
            text: text.into(),
            line_starts: OnceLock::new(),
        });
        FileId(index_u32(self.files.len() - 1))
    }

    /// The file's path, as it was named; empty for an id of another registry.
    pub fn path(&self, file: FileId) -> &Path {
        self.files
            .get(file.0 as usize)
            .map_or(Path::new(""), |file| &file.path)
    }

    /// The file's text; empty for an id of another registry.
    pub fn text(&self, file: FileId) -> &str {
        self.files
            .get(file.0 as usize)
            .map_or("", |file| file.text.as_ref())
    }

    /// Paths of all files, in the order they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The same, and those of files that could not be read: a change of any of them
    /// gives another definition.
    pub fn wanted_paths(&self) -> impl Iterator<Item = &Path> {
        self.paths().chain(self.unread.iter().map(PathBuf::as_path))
    }

    /// Reads a file's text as YAML or JSON.
    ///
    /// Text whose first character is `{` or `[` is tried as JSON first. A
    /// duplicate key is an error, yet the rest is read, with the first value
    /// kept. `None` where nothing could be read; the reason is then among the
    /// findings.
    pub fn load(&self, file: FileId, diagnostics: &mut Diagnostics) -> Option<Node> {
        let text = self.text(file);
        if text.trim_ascii_start().starts_with(['{', '[']) {
            let refused = match json::read(text, file, diagnostics) {
                Ok(node) => return Some(node),
                Err(refused) => refused,
            };
            let is_json = self
                .path(file)
                .extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
            let mut found = Diagnostics::default();
            let node = yaml::read(text, file, &mut found);
            if node.is_none() && is_json {
                diagnostics.push(refused);
            } else {
                diagnostics.extend(found.0);
            }
            return node;
        }
        yaml::read(text, file, diagnostics)
    }

    /// Line and column of a span.
    pub fn location(&self, span: Span) -> Location {
        let (line, column) = self.position(span.file, span.start);
        let (end_line, end_column) = self.position(span.file, span.end.max(span.start));
        Location {
            path: self.path(span.file).to_owned(),
            line,
            column,
            end_line,
            end_column,
        }
    }

    /// The text of the line a span starts in, without its line break.
    pub fn excerpt(&self, span: Span) -> &str {
        let (start, end) = self.line_range(span.file, span.start);
        &self.text(span.file)[start..end]
    }

    /// First byte and one past the last of the line that `offset` is in, line break not counted.
    pub(super) fn line_range(&self, file: FileId, offset: u32) -> (usize, usize) {
        let text = self.text(file);
        let starts = self.line_starts(file);
        let index = line_index(starts, offset);
        let start = starts.get(index).map_or(0, |&start| start as usize);
        let end = starts
            .get(index + 1)
            .map_or(text.len(), |&next| next as usize);
        let line = text.get(start..end).unwrap_or("");
        (start, start + line.trim_end_matches(['\n', '\r']).len())
    }

    fn position(&self, file: FileId, offset: u32) -> (usize, usize) {
        let text = self.text(file);
        let starts = self.line_starts(file);
        let index = line_index(starts, offset);
        let start = starts.get(index).map_or(0, |&start| start as usize);
        let mut end = (offset as usize).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let column = text
            .get(start..end)
            .map_or(0, |before| before.chars().count());
        (index + 1, column + 1)
    }

    fn line_starts(&self, file: FileId) -> &[u32] {
        let Some(file) = self.files.get(file.0 as usize) else {
            return &[];
        };
        file.line_starts.get_or_init(|| {
            std::iter::once(0)
                .chain(
                    memchr::memchr_iter(b'\n', file.text.as_bytes())
                        .map(|break_at| index_u32(break_at + 1)),
                )
                .collect()
        })
    }
}

/// Index of the line that `offset` is in.
fn line_index(starts: &[u32], offset: u32) -> usize {
    starts
        .partition_point(|&start| start <= offset)
        .saturating_sub(1)
}

/// Offsets fit: a file has at most [`LARGEST_FILE`] bytes, and a longer text
/// only loses precision of places.
fn index_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let mut sources = Sources::new();
        let file = sources.add_text("a.yaml", "\u{feff}ä: 1\r\nö: ü x\n");
        let start = sources.text(file).find('x').unwrap() as u32;
        let span = Span {
            file,
            start,
            end: start + 1,
        };

        let place = sources.location(span);

        assert_eq!(
            (place.line, place.column, place.end_line, place.end_column),
            (2, 6, 2, 7)
        );
        assert_eq!(sources.excerpt(span), "ö: ü x");
        assert_eq!(
            sources.excerpt(Span {
                file,
                start: 0,
                end: 0
            }),
            "ä: 1"
        );
    }

    #[test]
    fn a_span_of_nowhere_has_a_place_all_the_same() {
        let sources = Sources::new();
        let span = Span {
            file: FileId(7),
            start: 90,
            end: 3,
        };

        assert_eq!(sources.location(span).line, 1);
        assert_eq!(sources.excerpt(span), "");
    }
}
