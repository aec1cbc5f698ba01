//! YAML to nodes, over the event stream of `saphyr-parser`.
//!
//! The parser tells events and places; what it does not tell is found here:
//! duplicate keys, keys that are no text, merge keys (`<<`), and aliases that
//! would unfold into more than a document may hold.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{Diagnostic, Diagnostics, FileId, Mapping, Node, Span, Value, block};

/// Deepest nesting that is read: every later walk over a tree is a recursion.
pub(super) const DEEPEST: usize = 128;

/// Most nodes (and every sixteen bytes of text) that aliases may add to a
/// document: a few lines of anchors can stand for billions of nodes.
const MOST_COPIED: usize = 200_000;

/// Reads the first document of a text.
///
/// `None` where nothing could be read; the reason is then among the findings.
pub(super) fn read(text: &str, file: FileId, diagnostics: &mut Diagnostics) -> Option<Node> {
    block::read(text, file).or_else(|| read_fully(text, file, diagnostics))
}

/// The same, every part of YAML included.
pub(super) fn read_fully(text: &str, file: FileId, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mut builder = Builder {
        places: Places::new(text),
        file,
        text_end: text.len(),
        stack: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        copied: 0,
        tags: Vec::new(),
        diagnostics,
    };
    match builder.run(Parser::new_from_str(text)) {
        Ok(()) => {}
        Err(finding) => {
            builder.diagnostics.push(*finding);
            return None;
        }
    }
    let root = builder.root.take();
    if root.is_none() || root.as_ref().is_some_and(Node::is_null) {
        diagnostics.push(Diagnostic::error("E0102", "the document is empty").at(span(
            file,
            0,
            text.len().min(1),
        )));
        return None;
    }
    root
}

/// The finding for a key given twice.
pub(super) fn duplicate_key(key: &str, again: Span, first: Span) -> Diagnostic {
    Diagnostic::error(
        "E0103",
        format!("the key `{key}` stands here a second time"),
    )
    .at(again)
    .related(first, "it stands here first")
    .help("keep one of them: AWS refuses documents with duplicate keys")
}

/// The finding for a document that is nested too deep.
pub(super) fn too_deep(at: Span) -> Diagnostic {
    Diagnostic::error("E0104", format!("nested more than {DEEPEST} levels deep")).at(at)
}

/// A span of byte offsets.
pub(super) fn span(file: FileId, start: usize, end: usize) -> Span {
    let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    Span {
        file,
        start: narrow(start),
        end: narrow(end.max(start)),
    }
}

type Stop = Box<Diagnostic>;

struct Builder<'a> {
    places: Places<'a>,
    file: FileId,
    text_end: usize,
    /// The collections that are open, the innermost last.
    stack: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    copied: usize,
    /// Tags seen, so that a thousand `!Sub` share one text.
    tags: Vec<Arc<str>>,
    diagnostics: &'a mut Diagnostics,
}

/// A collection whose end has not come yet.
struct Open {
    start: usize,
    /// Where the last thing within it ended.
    end: usize,
    anchor: usize,
    tag: Option<Arc<str>>,
    kind: Kind,
}

enum Kind {
    Sequence(Vec<Node>),
    Mapping {
        entries: Mapping,
        /// The key whose value comes next.
        key: Option<Key>,
        /// Values of `<<` keys.
        merged: Vec<Node>,
    },
}

struct Key {
    /// `None` for a key that is no text: its value is read and dropped.
    text: Option<String>,
    span: Span,
    merge: bool,
}

impl Builder<'_> {
    fn run(&mut self, parser: Parser<'_, saphyr_parser::StrInput<'_>>) -> Result<(), Stop> {
        let mut documents = 0;
        for event in parser {
            let (event, marks) = event.map_err(|error| self.syntax_error(&error))?;
            let (start, end) = (marks.start.index(), marks.end.index());
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let at = self.places.byte(start);
                        self.diagnostics.push(
                            Diagnostic::error("E0105", "a second document starts here")
                                .at(span(self.file, at, at + 3))
                                .help("one file holds one document: remove the `---` or split the file"),
                        );
                        return Ok(());
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let start = self.places.byte(start);
                    let end = match style {
                        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                            end_of_quoted(self.places.bytes, start)
                        }
                        _ => self.places.byte(end),
                    };
                    let tag = tag.as_deref();
                    let forced_text =
                        tag.is_some_and(|tag| is_non_specific(tag) || is_core(tag, "str"));
                    let plain = style == ScalarStyle::Plain && !forced_text;
                    let merge = plain && tag.is_none() && text == "<<";
                    let node = Node {
                        value: Value::Scalar {
                            text: text.into_owned(),
                            plain,
                        },
                        span: span(self.file, start, end),
                        tag: self.tag(tag),
                    };
                    self.place(node, anchor, merge)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.open(start, anchor, tag.as_deref(), Kind::Sequence(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    let kind = Kind::Mapping {
                        entries: Mapping::new(),
                        key: None,
                        merged: Vec::new(),
                    };
                    self.open(start, anchor, tag.as_deref(), kind)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
                Event::Alias(id) => {
                    let start = self.places.byte(start);
                    let end = self.places.byte(end);
                    let place = span(self.file, start, end);
                    let Some(node) = self.anchors.get(&id) else {
                        return Err(Box::new(
                            Diagnostic::error(
                                "E0106",
                                "this alias stands inside of its own anchor",
                            )
                            .at(place),
                        ));
                    };
                    self.copied += weight(node);
                    if self.copied > MOST_COPIED {
                        return Err(Box::new(
                            Diagnostic::error(
                                "E0106",
                                "the aliases of this document unfold into too much",
                            )
                            .at(place)
                            .help("write the values out, or use $ref"),
                        ));
                    }
                    let node = node.clone();
                    self.place(node, 0, false)?;
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        start: usize,
        anchor: usize,
        tag: Option<&Tag>,
        kind: Kind,
    ) -> Result<(), Stop> {
        let start = self.places.byte(start);
        if self.stack.len() == DEEPEST {
            return Err(Box::new(too_deep(span(self.file, start, start + 1))));
        }
        let tag = self.tag(tag);
        self.stack.push(Open {
            start,
            end: start,
            anchor,
            tag,
            kind,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        // A block collection ends at the next token, so that its last part tells its
        // end; the parser's end of a flow collection has what follows on its line as well.
        let end = end_of_flow(self.places.bytes, open.start, open.end).unwrap_or(open.end);
        let value = match open.kind {
            Kind::Sequence(items) => Value::Sequence(items),
            Kind::Mapping {
                mut entries,
                merged,
                ..
            } => {
                for node in merged {
                    self.merge(&mut entries, node);
                }
                Value::Mapping(entries)
            }
        };
        let node = Node {
            value,
            span: span(self.file, open.start, end),
            tag: open.tag,
        };
        self.place(node, open.anchor, false)
    }

    /// Puts a node where it belongs: into the innermost open collection.
    fn place(&mut self, mut node: Node, anchor: usize, merge: bool) -> Result<(), Stop> {
        if let Some(Open {
            kind: Kind::Mapping { key: Some(key), .. },
            ..
        }) = self.stack.last()
        {
            // `key:` with nothing behind it: the parser's place is the next token's.
            if matches!(&node.value, Value::Scalar { text, plain: true } if text.is_empty())
                && node.tag.is_none()
            {
                node.span = key.span;
            }
        }
        if anchor != 0 {
            self.copied += weight(&node) / 8;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.end = open.end.max(node.span.end as usize);
        match &mut open.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping {
                entries,
                key,
                merged,
            } => match key.take() {
                None => {
                    let span = node.span;
                    let text = match node.value {
                        Value::Scalar { text, .. } => Some(text),
                        Value::Sequence(_) | Value::Mapping(_) => {
                            self.diagnostics.push(
                                Diagnostic::error("E0107", "a key must be text")
                                    .at(span)
                                    .help("put a text that starts with `{` or `[` in quotes"),
                            );
                            None
                        }
                    };
                    *key = Some(Key { text, span, merge });
                }
                Some(Key { merge: true, .. }) => merged.push(node),
                Some(Key { text: None, .. }) => {}
                Some(Key {
                    text: Some(text),
                    span,
                    ..
                }) => match entries.entry(text) {
                    indexmap::map::Entry::Vacant(entry) => {
                        entry.insert((span, node));
                    }
                    indexmap::map::Entry::Occupied(entry) => {
                        self.diagnostics
                            .push(duplicate_key(entry.key(), span, entry.get().0));
                    }
                },
            },
        }
        Ok(())
    }

    /// Adds the entries of a `<<` value that the mapping does not have itself.
    fn merge(&mut self, entries: &mut Mapping, node: Node) {
        match node.value {
            Value::Mapping(other) => {
                for (key, value) in other {
                    entries.entry(key).or_insert(value);
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    if matches!(item.value, Value::Mapping(_)) {
                        self.merge(entries, item);
                    } else {
                        self.not_mergeable(item.span);
                    }
                }
            }
            Value::Scalar { .. } => self.not_mergeable(node.span),
        }
    }

    fn not_mergeable(&mut self, span: Span) {
        self.diagnostics.push(
            Diagnostic::error("E0108", "`<<` takes a mapping, or a list of mappings").at(span),
        );
    }

    fn tag(&mut self, tag: Option<&Tag>) -> Option<Arc<str>> {
        let tag = tag?;
        if is_non_specific(tag) || tag.is_yaml_core_schema() {
            return None;
        }
        if let Some(known) = self.tags.iter().find(|known| ***known == *tag.suffix) {
            return Some(Arc::clone(known));
        }
        let text: Arc<str> = tag.suffix.as_str().into();
        if self.tags.len() < 32 {
            self.tags.push(Arc::clone(&text));
        }
        Some(text)
    }

    fn syntax_error(&mut self, error: &saphyr_parser::ScanError) -> Stop {
        let start = self.places.byte(error.marker().index());
        let start = start.min(self.text_end.saturating_sub(1));
        // The parser looks ahead for the end of a flow collection, and has its own bound.
        if error.info().contains("recursion limit") {
            return Box::new(too_deep(span(self.file, start, start + 1)));
        }
        Box::new(
            Diagnostic::error("E0101", format!("not valid YAML: {}", error.info())).at(span(
                self.file,
                start,
                start + 1,
            )),
        )
    }
}

/// `!` alone: text, whatever it looks like.
fn is_non_specific(tag: &Tag) -> bool {
    matches!(
        (tag.handle.as_str(), tag.suffix.as_str()),
        (_, "") | ("", "!")
    )
}

fn is_core(tag: &Tag, suffix: &str) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == suffix
}

/// One past the closing quote of the scalar that begins at `start`, possibly with
/// a tag: the parser's own end has the blanks and the comment behind it as well.
fn end_of_quoted(bytes: &[u8], start: usize) -> usize {
    let Some(open) = memchr::memchr2(b'"', b'\'', &bytes[start..]) else {
        return start;
    };
    let mut at = start + open + 1;
    let quote = bytes[at - 1];
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == b'\\' && quote == b'"' {
            at += 1;
        } else if byte == quote {
            if quote == b'\'' && bytes.get(at) == Some(&b'\'') {
                at += 1;
            } else {
                return at;
            }
        }
    }
    bytes.len()
}

/// One past the bracket that closes the flow collection begun at `start`, possibly
/// with a tag or an anchor, whose last part ended at `last`; `None` where it is a block.
fn end_of_flow(bytes: &[u8], start: usize, last: usize) -> Option<usize> {
    let mut at = start;
    while matches!(bytes.get(at), Some(b'!' | b'&')) {
        while bytes
            .get(at)
            .is_some_and(|byte| !byte.is_ascii_whitespace())
        {
            at += 1;
        }
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
    }
    let close = match bytes.get(at)? {
        b'[' => b']',
        b'{' => b'}',
        _ => return None,
    };
    let mut at = last.max(at + 1);
    loop {
        match bytes.get(at)? {
            b'#' => at += memchr::memchr(b'\n', &bytes[at..])?,
            &byte if byte == close => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// How much an alias to this node adds: its nodes, and its text by sixteen bytes.
fn weight(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { text, .. } => text.len() / 16,
        Value::Sequence(items) => items.iter().map(weight).sum(),
        Value::Mapping(mapping) => mapping
            .iter()
            .map(|(key, (_, node))| 1 + key.len() / 16 + weight(node))
            .sum(),
    }
}

/// Characters, which the parser counts, to bytes, which spans count.
///
/// Questions come nearly in order, so that going on from the last answer is
/// cheap; a text of ASCII alone needs no counting.
struct Places<'a> {
    bytes: &'a [u8],
    ascii: bool,
    character: usize,
    byte: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            ascii: text.is_ascii(),
            character: 0,
            byte: 0,
        }
    }

    fn byte(&mut self, character: usize) -> usize {
        if self.ascii {
            return character.min(self.bytes.len());
        }
        let continues = |byte: u8| byte & 0xc0 == 0x80;
        while self.character < character && self.byte < self.bytes.len() {
            self.byte += 1;
            while self.byte < self.bytes.len() && continues(self.bytes[self.byte]) {
                self.byte += 1;
            }
            self.character += 1;
        }
        while self.character > character && self.byte > 0 {
            self.byte -= 1;
            while self.byte > 0 && continues(self.bytes[self.byte]) {
                self.byte -= 1;
            }
            self.character -= 1;
        }
        self.byte
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(text: &str) -> (Option<Node>, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let node = read(text, FileId(0), &mut diagnostics);
        (node, diagnostics)
    }

    fn node(text: &str) -> Node {
        let (node, diagnostics) = read_text(text);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        node.unwrap()
    }

    fn codes(text: &str) -> Vec<&'static str> {
        read_text(text).1.iter().map(|one| one.code).collect()
    }

    #[test]
    fn everything_has_its_place_in_bytes() {
        let text = "ä: ü\r\nlist:\r\n  - \"ö\"\r\n  - {k: v}\r\nnext: |\r\n  one\r\n  two\r\nempty:\r\nlast: x\r\n";
        let root = node(text);
        let slice = |span: Span| &text[span.start as usize..span.end as usize];

        let (key, value) = &root.as_mapping().unwrap()["ä"];
        assert_eq!((slice(*key), slice(value.span)), ("ä", "ü"));
        let list = root.get("list").unwrap();
        assert_eq!(slice(list.span), "- \"ö\"\r\n  - {k: v}");
        assert_eq!(slice(list.as_sequence().unwrap()[0].span), "\"ö\"");
        assert_eq!(slice(list.as_sequence().unwrap()[1].span), "{k: v}");
        assert_eq!(root.get("next").unwrap().as_str(), Some("one\ntwo\n"));
        assert_eq!(slice(root.get("empty").unwrap().span), "empty");
        assert_eq!(slice(root.get("last").unwrap().span), "x");
    }

    #[test]
    fn tags_of_cloudformation_come_through() {
        let root = node(
            "a: !Sub 'x${y}'\nb: !GetAtt F.Arn\nc: !Join ['', [a, !Ref b]]\nd: !!str 5\ne: ! 6\n",
        );

        assert_eq!(
            root.to_json().to_string(),
            r#"{"a":{"Fn::Sub":"x${y}"},"b":{"Fn::GetAtt":["F","Arn"]},"c":{"Fn::Join":["",["a",{"Ref":"b"}]]},"d":"5","e":"6"}"#
        );
    }

    #[test]
    fn anchors_and_merge_keys_unfold() {
        let root = node(
            "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [*b, {z: 4}]}\nquoted: {'<<': 1}\n",
        );

        assert_eq!(
            root.to_json().to_string(),
            r#"{"base":{"x":1,"y":2},"one":{"y":3,"x":1},"two":{"x":1,"y":2,"z":4},"quoted":{"<<":1}}"#
        );
    }

    #[test]
    fn what_a_definition_must_not_hold_is_found() {
        assert_eq!(codes("a: 1\nb: 2\na: 3\n"), ["E0103"]);
        assert_eq!(codes("{[a]: 1}"), ["E0107"]);
        assert_eq!(codes("a: {<<: 1}"), ["E0108"]);
        assert_eq!(codes("a: 1\n---\nb: 2\n"), ["E0105"]);
        assert_eq!(codes("a: &x [*x]"), ["E0106"]);
        assert_eq!(codes(""), ["E0102"]);
        assert_eq!(codes("# only words\n"), ["E0102"]);
        assert_eq!(codes("a: [1\n"), ["E0101"]);
        assert_eq!(codes("a: b: c\n"), ["E0101"]);
        assert_eq!(codes(&"[".repeat(10_000)), ["E0104"]);
        let deep: String = (0..200)
            .map(|level| format!("{}- \n", " ".repeat(level)))
            .collect();
        assert_eq!(codes(&deep), ["E0104"], "{:?}", read_text(&deep).1);
    }

    #[test]
    fn an_alias_bomb_does_not_go_off() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..20 {
            let last = level - 1;
            text += &format!("a{level}: &a{level} [{}]\n", format!("*a{last},").repeat(9));
        }

        assert_eq!(codes(&text), ["E0106"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read_text(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn no_text_of_yaml_makes_it_panic(text in "[-a:{}\\[\\],&*!|>'\"#? \r\nä<%]{0,60}") {
            let (node, _) = read_text(&text);
            if let Some(node) = node {
                prop_assert!(node.span.end as usize <= text.len());
                node.to_json();
            }
        }
    }
}
