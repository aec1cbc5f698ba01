//! The everyday part of YAML, read directly: the fast way in for definitions.
//!
//! Block mappings and sequences, flow collections, scalars on one line,
//! literal blocks and short tags. Whatever else a document has (anchors,
//! multi-line scalars, complex keys, tabs, anything wrong) makes [`read`] give
//! up, and the whole document goes to the full loader in [`yaml`](super::yaml),
//! which also words the errors. So this file must never read a document
//! differently, but may decline any: a test holds the two together.
//!
//! Why: the full parser goes through a document character by character, which
//! takes some 15 ms for a definition of a thousand routes (450 KB); this takes 4, tree included.

use std::sync::Arc;

use super::node::Waiting;
use super::yaml::{DEEPEST, span};
use super::{FileId, Mapping, Node, Span, Value};

/// The document's tree, or `None` where it has more than this file reads.
pub(super) fn read(text: &str, file: FileId) -> Option<Node> {
    if memchr::memchr(b'\t', text.as_bytes()).is_some()
        || text
            .bytes()
            .any(|byte| byte < 0x20 && byte != b'\n' && byte != b'\r')
        || text.contains('\u{feff}')
    {
        return None;
    }
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        next: 0,
        line: None,
        file,
        depth: 0,
        tags: Vec::new(),
        waiting: Waiting::default(),
    };
    reader.advance()?;
    if let Some(line) = reader.line
        && &reader.bytes[line.start..line.end] == b"---"
    {
        // Indented it is text, which is not everyday YAML.
        if line.indent > 0 {
            return None;
        }
        reader.advance()?;
    }
    let first = reader.line?;
    let node = reader.block(first.start, first.indent)?;
    (reader.line.is_none() && !node.is_null()).then_some(node)
}

/// A line that has more than blanks and a comment.
#[derive(Clone, Copy)]
struct Line {
    /// Where the line begins, blanks included.
    zero: usize,
    /// Its first character that is no blank.
    start: usize,
    /// One past its last character, the line break not counted.
    end: usize,
    indent: usize,
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Where the line after the current one begins.
    next: usize,
    /// The current line; `None` at the end of the document.
    line: Option<Line>,
    file: FileId,
    depth: usize,
    tags: Vec<Arc<str>>,
    waiting: Waiting,
}

impl Reader<'_> {
    /// Goes to the next line with content. `None` means: give up.
    fn advance(&mut self) -> Option<()> {
        loop {
            if self.next >= self.bytes.len() {
                self.line = None;
                return Some(());
            }
            let line = self.line_at(self.next)?;
            self.next = line.1;
            let line = line.0;
            if line.start == line.end || self.bytes[line.start] == b'#' {
                continue;
            }
            if line.indent == 0 {
                let content = &self.bytes[line.start..line.end];
                let marker = content.starts_with(b"---") || content.starts_with(b"...");
                // The one that may stand at the top is looked at by `read`.
                let at_top = self.line.is_none() && content == b"---";
                if (marker && !at_top) || content[0] == b'%' {
                    return None;
                }
            }
            self.line = Some(line);
            return Some(());
        }
    }

    /// The line that begins at `zero`, and where the next one does.
    fn line_at(&self, zero: usize) -> Option<(Line, usize)> {
        let rest = &self.bytes[zero..];
        let (mut end, next) = match memchr::memchr(b'\n', rest) {
            Some(length) => (zero + length, zero + length + 1),
            None => (self.bytes.len(), self.bytes.len()),
        };
        if end > zero && self.bytes[end - 1] == b'\r' {
            end -= 1;
        }
        let line = &self.bytes[zero..end];
        // A carriage return alone is a line break to YAML.
        if memchr::memchr(b'\r', line).is_some() || (next == end && line.ends_with(b"\r")) {
            return None;
        }
        let indent = line.iter().take_while(|&&byte| byte == b' ').count();
        let line = Line {
            zero,
            start: zero + indent,
            end,
            indent,
        };
        Some((line, next))
    }

    fn is_dash(&self, at: usize, end: usize) -> bool {
        self.bytes[at] == b'-' && (at + 1 == end || self.bytes[at + 1] == b' ')
    }

    /// The node whose first line is the current one, from `at`, which stands in column `indent`.
    fn block(&mut self, at: usize, indent: usize) -> Option<Node> {
        if self.depth == DEEPEST {
            return None;
        }
        let line = self.line?;
        self.depth += 1;
        let node = if self.is_dash(at, line.end) {
            self.sequence(at, indent)?
        } else if self.key(at, line.end)?.is_some() {
            self.mapping(at, indent)?
        } else {
            // A scalar or a flow collection on a line of its own.
            match self.bytes[at] {
                b'|' | b'>' | b'!' => return None,
                _ => self.inline(at, indent)?,
            }
        };
        self.depth -= 1;
        Some(node)
    }

    fn sequence(&mut self, first: usize, indent: usize) -> Option<Node> {
        let waiting = self.waiting.items();
        let mut at = first;
        let mut end = first + 1;
        loop {
            let line = self.line?;
            let content = self.skip_blanks(at + 1, line.end);
            let item = if content == line.end || self.bytes[content] == b'#' {
                self.advance()?;
                match self.line {
                    Some(next) if next.indent > indent => self.block(next.start, next.indent)?,
                    // An empty entry: rare enough for the full loader.
                    _ => return None,
                }
            } else {
                let column = content - line.zero;
                if self.is_dash(content, line.end) || self.key(content, line.end)?.is_some() {
                    self.block(content, column)?
                } else {
                    self.inline(content, indent)?
                }
            };
            end = end.max(item.span.end as usize);
            self.waiting.push_item(item);
            match self.line {
                Some(next) if next.indent > indent => return None,
                Some(next) if next.indent == indent && self.is_dash(next.start, next.end) => {
                    at = next.start;
                }
                _ => break,
            }
        }
        Some(Node {
            value: Value::Sequence(self.waiting.sequence(waiting)),
            span: span(self.file, first, end),
            tag: None,
        })
    }

    fn mapping(&mut self, first: usize, indent: usize) -> Option<Node> {
        let waiting = self.waiting.entries();
        let mut at = first;
        let mut end = first;
        loop {
            let line = self.line?;
            let key = self.key(at, line.end)??;
            let content = self.skip_blanks(key.after, line.end);
            let node = if content == line.end || self.bytes[content] == b'#' {
                self.advance()?;
                match self.line {
                    Some(next) if next.indent > indent => self.block(next.start, next.indent)?,
                    Some(next) if next.indent == indent && self.is_dash(next.start, next.end) => {
                        self.block(next.start, next.indent)?
                    }
                    _ => Node {
                        value: Value::Scalar {
                            text: String::new(),
                            plain: true,
                        },
                        span: key.span,
                        tag: None,
                    },
                }
            } else {
                self.inline(content, indent)?
            };
            end = end.max(node.span.end as usize);
            self.waiting.push_entry(key.text, key.span, node);
            match self.line {
                Some(next) if next.indent > indent => return None,
                Some(next) if next.indent == indent => {
                    if self.is_dash(next.start, next.end) {
                        return None;
                    }
                    at = next.start;
                }
                _ => break,
            }
        }
        Some(Node {
            value: Value::Mapping(self.finished(waiting)?),
            span: span(self.file, first, end),
            tag: None,
        })
    }

    /// The mapping of the entries that wait, if no key stands twice.
    fn finished(&mut self, start: usize) -> Option<Mapping> {
        let mut doubles = 0;
        let mapping = self.waiting.mapping(start, |_, _, _| doubles += 1);
        (doubles == 0).then_some(mapping)
    }

    /// The key that begins at `at`, if a key stands there.
    ///
    /// The outer `None` means: give up.
    #[expect(clippy::option_option, reason = "no key and giving up are two things")]
    fn key(&self, at: usize, end: usize) -> Option<Option<Key>> {
        let line = &self.bytes[at..end];
        match line[0] {
            b'"' | b'\'' => {
                let (text, close) = self.quoted(at, end)?;
                let colon = self.skip_blanks(close, end);
                if colon < end && self.bytes[colon] == b':' {
                    if colon + 1 < end && self.bytes[colon + 1] != b' ' {
                        return None;
                    }
                    return Some(Some(Key {
                        text,
                        span: span(self.file, at, close),
                        after: colon + 1,
                    }));
                }
                return Some(None);
            }
            b'[' | b'{' | b'|' | b'>' | b'!' => return Some(None),
            _ => {}
        }
        if !self.starts_plain(at, end, false) {
            return None;
        }
        let mut from = 0;
        while let Some(found) = memchr::memchr2(b':', b'#', &line[from..]) {
            let found = from + found;
            if line[found] == b'#' {
                if line[found - 1] == b' ' {
                    return Some(None);
                }
            } else if found + 1 == line.len() || line[found + 1] == b' ' {
                let length = line[..found]
                    .iter()
                    .rposition(|&byte| byte != b' ')
                    .map_or(0, |last| last + 1);
                if length == 0 || length > 1000 || &line[..length] == b"<<" {
                    return None;
                }
                return Some(Some(Key {
                    text: self.text[at..at + length].to_owned(),
                    span: span(self.file, at, at + length),
                    after: at + found + 1,
                }));
            }
            from = found + 1;
        }
        Some(None)
    }

    /// Whether a plain scalar may start here.
    fn starts_plain(&self, at: usize, end: usize, flow: bool) -> bool {
        match self.bytes[at] {
            b'-' | b'?' | b':' => {
                at + 1 < end
                    && match self.bytes[at + 1] {
                        b' ' => false,
                        b',' | b'[' | b']' | b'{' | b'}' => !flow,
                        _ => true,
                    }
            }
            b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\''
            | b'"' | b'%' | b'@' | b'`' => false,
            _ => true,
        }
    }

    /// A value that begins within the current line, in a collection of column `indent`.
    /// Leaves the line behind it as the current one.
    fn inline(&mut self, at: usize, indent: usize) -> Option<Node> {
        let line = self.line?;
        let (tag, start) = self.tag(at, line.end)?;
        let (value, end) = match self.bytes[start] {
            b'"' | b'\'' => {
                let (text, close) = self.quoted(start, line.end)?;
                self.nothing_behind(close, line.end)?;
                self.advance()?;
                (Value::Scalar { text, plain: false }, close)
            }
            b'[' | b'{' => {
                let (node, close) = self.flow(start, indent)?;
                // The collection may have ended on a later line.
                let (last, next) = self.line_from(close)?;
                self.nothing_behind(close, last)?;
                self.next = next;
                self.advance()?;
                (node.value, close)
            }
            b'|' | b'>' => {
                let (text, close) = self.literal(start, indent)?;
                (Value::Scalar { text, plain: false }, close)
            }
            _ => {
                let end = self.plain(start, line.end)?;
                let text = self.text[start..end].to_owned();
                self.advance()?;
                (Value::Scalar { text, plain: true }, end)
            }
        };
        Some(Node {
            value,
            span: span(self.file, at, end),
            tag,
        })
    }

    /// A short tag and what stands behind it on the line.
    fn tag(&mut self, at: usize, end: usize) -> Option<(Option<Arc<str>>, usize)> {
        if self.bytes[at] != b'!' {
            return Some((None, at));
        }
        let name = self.bytes[at + 1..end]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .count();
        let behind = at + 1 + name;
        if name == 0 || behind >= end || self.bytes[behind] != b' ' {
            return None;
        }
        let start = self.skip_blanks(behind, end);
        if start == end || matches!(self.bytes[start], b'#' | b'!' | b'&' | b'*') {
            return None;
        }
        let name = &self.text[at + 1..behind];
        let known = self.tags.iter().find(|known| &***known == name).cloned();
        let tag = known.unwrap_or_else(|| {
            let tag: Arc<str> = name.into();
            if self.tags.len() < 32 {
                self.tags.push(Arc::clone(&tag));
            }
            tag
        });
        Some((Some(tag), start))
    }

    /// Where the plain scalar that fills the rest of the line ends.
    fn plain(&self, at: usize, end: usize) -> Option<usize> {
        if !self.starts_plain(at, end, false) {
            return None;
        }
        let line = &self.bytes[at..end];
        let mut length = line.len();
        let mut from = 0;
        while let Some(found) = memchr::memchr2(b':', b'#', &line[from..]) {
            let found = from + found;
            if line[found] == b'#' {
                if found > 0 && line[found - 1] == b' ' {
                    length = found;
                    break;
                }
            } else if found + 1 == line.len() || line[found + 1] == b' ' {
                return None;
            }
            from = found + 1;
        }
        let last = line[..length].iter().rposition(|&byte| byte != b' ')?;
        Some(at + last + 1)
    }

    /// The text of a quoted scalar that ends on its line, and where it does.
    fn quoted(&self, at: usize, end: usize) -> Option<(String, usize)> {
        let start = at + 1;
        if self.bytes[at] == b'\'' {
            let mut text = String::new();
            let mut from = start;
            loop {
                let close = from + memchr::memchr(b'\'', &self.bytes[from..end])?;
                text.push_str(&self.text[from..close]);
                if close + 1 < end && self.bytes[close + 1] == b'\'' {
                    text.push('\'');
                    from = close + 2;
                } else {
                    return Some((text, close + 1));
                }
            }
        }
        let mut text = String::new();
        let mut from = start;
        loop {
            let stop = from + memchr::memchr2(b'"', b'\\', &self.bytes[from..end])?;
            text.push_str(&self.text[from..stop]);
            if self.bytes[stop] == b'"' {
                return Some((text, stop + 1));
            }
            text.push(match self.bytes.get(stop + 1).filter(|_| stop + 1 < end)? {
                b'n' => '\n',
                b't' => '\t',
                b'r' => '\r',
                &byte @ (b'"' | b'\\' | b'/') => char::from(byte),
                _ => return None,
            });
            from = stop + 2;
        }
    }

    /// Only blanks, or a comment, until the end of the line.
    fn nothing_behind(&self, at: usize, end: usize) -> Option<()> {
        let rest = self.skip_blanks(at, end);
        (rest == end || (rest > at && self.bytes[rest] == b'#')).then_some(())
    }

    fn skip_blanks(&self, at: usize, end: usize) -> usize {
        let blanks = self.bytes[at..end]
            .iter()
            .take_while(|&&byte| byte == b' ')
            .count();
        at + blanks
    }

    /// The end of the line that `at` is in, and the start of the next.
    fn line_from(&self, at: usize) -> Option<(usize, usize)> {
        let (line, next) = self.line_at(at)?;
        Some((line.end, next))
    }

    /// A literal block, or a folded one of plain lines; leaves the line behind it as the current one.
    fn literal(&mut self, at: usize, parent: usize) -> Option<(String, usize)> {
        let header = self.line?;
        let folded = self.bytes[at] == b'>';
        let chomp = self
            .bytes
            .get(at + 1)
            .copied()
            .filter(|_| at + 1 < header.end);
        let behind = match chomp {
            Some(b'-' | b'+') => at + 2,
            _ => at + 1,
        };
        if self.skip_blanks(behind, header.end) != header.end {
            return None;
        }
        let mut lines: Vec<(usize, usize)> = Vec::new();
        let mut indent = None;
        let mut close = header.end;
        while self.next < self.bytes.len() {
            let (line, next) = self.line_at(self.next)?;
            if line.start == line.end {
                // Blanks beyond the block's indentation are content, or an error before it.
                match indent {
                    Some(indent) if line.indent > indent => {
                        lines.push((line.zero + indent, line.end));
                    }
                    None if line.indent > 0 => return None,
                    _ => lines.push((line.end, line.end)),
                }
                self.next = next;
                continue;
            }
            if line.indent <= parent {
                break;
            }
            let indent = *indent.get_or_insert(line.indent);
            if line.indent < indent {
                return None;
            }
            lines.push((line.zero + indent, line.end));
            close = line.end;
            self.next = next;
        }
        // Without content, or with blank lines to keep at the end: rare and full of rules.
        let blank_behind = lines
            .iter()
            .rev()
            .take_while(|(from, to)| from == to)
            .count();
        let ends_file = self.next >= self.bytes.len() && !self.bytes.ends_with(b"\n");
        if indent.is_none() || (chomp == Some(b'+') && blank_behind > 0) || ends_file {
            return None;
        }
        lines.truncate(lines.len() - blank_behind);
        let blanks_only =
            |&(from, to): &(usize, usize)| self.bytes[from..to].iter().all(|&byte| byte == b' ');
        if lines.last().is_some_and(blanks_only) {
            return None;
        }
        let odd = |&(from, to): &(usize, usize)| from == to || self.bytes[from] == b' ';
        if folded && lines.iter().any(odd) {
            return None;
        }
        let length: usize = lines.iter().map(|(from, to)| to - from + 1).sum();
        let mut text = String::with_capacity(length);
        for (index, (from, to)) in lines.iter().enumerate() {
            if index > 0 {
                text.push(if folded { ' ' } else { '\n' });
            }
            text.push_str(&self.text[*from..*to]);
        }
        if chomp != Some(b'-') {
            text.push('\n');
        }
        self.advance()?;
        Some((text, close))
    }

    /// A flow collection, and where it ends.
    fn flow(&mut self, at: usize, parent: usize) -> Option<(Node, usize)> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let is_mapping = self.bytes[at] == b'{';
        let close = if is_mapping { b'}' } else { b']' };
        let (items, entries) = (self.waiting.items(), self.waiting.entries());
        let mut here = self.flow_blanks(at + 1, parent)?;
        while self.bytes[here] != close {
            let (node, behind) = self.flow_value(here, parent)?;
            here = self.flow_blanks(behind, parent)?;
            if is_mapping {
                let quoted = matches!(self.bytes[node.span.start as usize], b'"' | b'\'');
                let Value::Scalar { text, plain } = node.value else {
                    return None;
                };
                let separated = matches!(
                    self.bytes.get(here + 1),
                    Some(b' ' | b'\n' | b'\r' | b'[' | b'{')
                ) || quoted;
                let merges = plain && text == "<<";
                if node.tag.is_some() || self.bytes[here] != b':' || !separated || merges {
                    return None;
                }
                // A quoted key with its colon on the next line, or far away, is another matter.
                if memchr::memchr(b'\n', &self.bytes[behind..here]).is_some() || text.len() > 1000 {
                    return None;
                }
                let start = self.flow_blanks(here + 1, parent)?;
                if matches!(self.bytes[start], b',' | b'}') {
                    return None;
                }
                let (value, behind) = self.flow_value(start, parent)?;
                self.waiting.push_entry(text, node.span, value);
                here = self.flow_blanks(behind, parent)?;
            } else {
                self.waiting.push_item(node);
            }
            match self.bytes[here] {
                b',' => {
                    here = self.flow_blanks(here + 1, parent)?;
                    if self.bytes[here] == b',' {
                        return None;
                    }
                }
                byte if byte == close => {}
                _ => return None,
            }
        }
        self.depth -= 1;
        let value = if is_mapping {
            Value::Mapping(self.finished(entries)?)
        } else {
            Value::Sequence(self.waiting.sequence(items))
        };
        let node = Node {
            value,
            span: span(self.file, at, here + 1),
            tag: None,
        };
        Some((node, here + 1))
    }

    fn flow_value(&mut self, at: usize, parent: usize) -> Option<(Node, usize)> {
        let (line_end, _) = self.line_from(at)?;
        let (tag, start) = self.tag(at, line_end)?;
        let (value, end) = match self.bytes[start] {
            b'[' | b'{' => {
                let (node, end) = self.flow(start, parent)?;
                (node.value, end)
            }
            b'"' | b'\'' => {
                let (text, end) = self.quoted(start, line_end)?;
                (Value::Scalar { text, plain: false }, end)
            }
            _ => {
                if !self.starts_plain(start, line_end, true) {
                    return None;
                }
                let end = self.flow_plain(start, line_end)?;
                let text = self.text[start..end].to_owned();
                (Value::Scalar { text, plain: true }, end)
            }
        };
        let node = Node {
            value,
            span: span(self.file, at, end),
            tag,
        };
        Some((node, end))
    }

    fn flow_plain(&self, at: usize, line_end: usize) -> Option<usize> {
        let line = &self.bytes[at..line_end];
        let mut length = line.len();
        for (index, &byte) in line.iter().enumerate() {
            let ends = match byte {
                b',' | b']' | b'}' => true,
                b'[' | b'{' => return None,
                b'#' if index > 0 && line[index - 1] == b' ' => return None,
                // A word `-` at the end of a collection is for the full loader to judge.
                b'-' if index > 0
                    && line[index - 1] == b' '
                    && matches!(line.get(index + 1), Some(b',' | b'[' | b']' | b'{' | b'}')) =>
                {
                    return None;
                }
                b':' => match line.get(index + 1) {
                    None | Some(b' ') => true,
                    Some(b',' | b'[' | b']' | b'{' | b'}') => return None,
                    Some(_) => false,
                },
                _ => false,
            };
            if ends {
                length = index;
                break;
            }
        }
        let last = line[..length].iter().rposition(|&byte| byte != b' ')?;
        Some(at + last + 1)
    }

    /// The next character that is no blank; lines must stand deeper than the collection around.
    fn flow_blanks(&self, at: usize, parent: usize) -> Option<usize> {
        let mut here = at;
        loop {
            match self.bytes.get(here)? {
                b' ' => here += 1,
                b'\r' if self.bytes.get(here + 1) == Some(&b'\n') => here += 1,
                b'\n' => {
                    let (line, _) = self.line_at(here + 1)?;
                    if line.start < line.end && line.indent <= parent {
                        // The closing bracket may stand below the key.
                        let closes = matches!(self.bytes[line.start], b']' | b'}');
                        if !closes || line.indent < parent {
                            return None;
                        }
                    }
                    here += 1;
                }
                b'#' | b'\r' => return None,
                _ => return Some(here),
            }
        }
    }
}

struct Key {
    text: String,
    span: Span,
    /// Behind the colon.
    after: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::{Diagnostics, yaml};

    /// Where both read a document, they read the same.
    fn compare(text: &str) -> Result<bool, String> {
        let Some(fast) = read(text, FileId(0)) else {
            return Ok(false);
        };
        let mut found = Diagnostics::default();
        let full = yaml::read_fully(text, FileId(0), &mut found);
        if !found.is_empty() {
            // Nothing at all is an error of the document as a whole.
            return Err(format!(
                "read what the full loader refuses: {found:?}\n{text}"
            ));
        }
        let full = full.ok_or_else(|| format!("nothing read\n{text}"))?;
        same(&fast, &full, text).map_err(|problem| format!("{problem}\n{text}"))?;
        Ok(true)
    }

    fn same(a: &Node, b: &Node, text: &str) -> Result<(), String> {
        if a.tag != b.tag {
            return Err(format!("tags {:?} and {:?}", a.tag, b.tag));
        }
        // The full loader puts the end of a literal block, and the start of a block
        // sequence, a little elsewhere.
        let slice = |span: Span| text[span.start as usize..span.end as usize].trim_end();
        let (short, long) = (slice(a.span), slice(b.span));
        let near = short.starts_with(['|', '>', '!'])
            || short.contains(['|', '>'])
            || (matches!(a.value, Value::Sequence(_)) && short.ends_with(long));
        if a.span != b.span && !near {
            return Err(format!("places {short:?} and {long:?}"));
        }
        match (&a.value, &b.value) {
            (Value::Scalar { text: a, plain: p }, Value::Scalar { text: b, plain: q })
                if a == b && p == q =>
            {
                Ok(())
            }
            (Value::Sequence(a), Value::Sequence(b)) if a.len() == b.len() => {
                a.iter().zip(b).try_for_each(|(a, b)| same(a, b, text))
            }
            (Value::Mapping(a), Value::Mapping(b)) if a.len() == b.len() => {
                a.iter().zip(b).try_for_each(|((k, (s, a)), (l, (t, b)))| {
                    if k != l || s != t {
                        return Err(format!("keys {k:?} {s:?} and {l:?} {t:?}"));
                    }
                    same(a, b, text)
                })
            }
            _ => Err(format!("values {a:?} and {b:?}")),
        }
    }

    const DOCUMENT: &str = r#"---
# a definition
openapi: "3.0.1"
info: {title: 'it''s', version: "1\n", list: [a, 'b', !Ref AWS::Region], n: -1}
paths:
  /pets/{id}:   # with a comment
    get:
      parameters:
      - name: id
        in: path
        required: true
      - {name: q, in: query}
      -   - nested
          - list
      description: text with # no comment: no, with one # here
      empty:
      x-amazon-apigateway-integration:
        type: aws_proxy
        uri: !Sub arn:${AWS::Partition}:x
        "quoted key": http://host:80/path
        requestTemplates:
          application/json: |
            #set($x = 1)
              {"a": "$x"}

            end
          text/plain: >-
            folded
            lines
        list: [
          one,
          {two: 2},
        ]
last: ~
"#;

    #[test]
    fn reads_what_the_full_loader_reads() {
        assert_eq!(
            compare(
                &DOCUMENT.replace("text with # no comment: no, with one # here", "text # here")
            ),
            Ok(true)
        );
        assert_eq!(
            compare(
                &DOCUMENT
                    .replace("text with # no comment: no, with one # here", "x")
                    .replace('\n', "\r\n")
            ),
            Ok(true)
        );
        for text in [
            "a: 1",
            "- a\n- b: 1\n  c: 2\n",
            "{\"a\": [1, 2]}",
            "a:\n- b\n- c\nd: e\n",
            "ä: ü # ö\n",
            "a: 'x' # y\n",
            "a: |\n  x\n\n\nb: |-\n  y\n  \n   z\nc: 1\n",
        ] {
            assert_eq!(compare(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn declines_what_it_does_not_know() {
        for text in [
            "",
            "a: &x 1\nb: *x\n",
            "a: b\n  c\n",
            "a: \"b\n  c\"\n",
            "a:\n\tb: 1\n",
            "? a\n: b\n",
            "a: b: c\n",
            "a: 1\na: 2\n",
            "<<: {a: 1}\n",
            "a: 1\n---\nb: 2\n",
            "a: !!str 1\n",
            "a: {b, c}\n",
            "a: [b: c]\n",
            "a: |2\n   x\n",
            "%YAML 1.2\n---\na: 1\n",
            "a: @x\n",
            "a: 'x' y\n",
            "a:\n  - b\n c: 1\n",
        ] {
            assert!(read(text, FileId(0)).is_none(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_text_of_yaml_is_read_alike(text in "([a-c]|: |:|- |-|\n|\n  |\n    |#| #|'|\"|\\{|\\}|\\[|\\]|, |,|\\||>|!A |~|ä|\r\n| ){0,30}") {
            if let Err(problem) = compare(&text) {
                prop_assert!(false, "{}", problem);
            }
        }

        #[test]
        fn a_changed_document_is_read_alike(at in 0..DOCUMENT.len(), length in 0usize..12, with in "([a-c]|: |:|- |-|\n|\n  |#| #|'|\"|\\{|\\}|\\[|\\]|,|\\||>|!A |&|\\*|\t| ){0,3}") {
            let mut text = DOCUMENT.to_owned();
            text.replace_range(at..(at + length).min(DOCUMENT.len()), &with);
            if let Err(problem) = compare(&text) {
                prop_assert!(false, "{}", problem);
            }
        }
    }
}
