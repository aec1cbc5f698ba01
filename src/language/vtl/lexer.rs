//! The template's characters cut into tokens.
//!
//! Velocity's white-space rules, its escapes and its odd corners come out of
//! its token manager, which is a machine with nine states and a stack: what a
//! character means depends on whether it stands in text, after a `$`, inside a
//! directive's parentheses, and so on. Guessing at the outcome goes wrong
//! sooner or later, so this file keeps the same states, the same longest-match
//! rule, the same order among equals and the same actions on the stack.
//!
//! The parser asks for one token at a time and twice reaches in: after a
//! directive's name ([`Lexer::enter_directive`], [`Lexer::leave_directive`])
//! and after a `#set` ([`Lexer::end_set`]).
//!
//! Source of the rules: the grammar of Apache Velocity 1.7.

use std::collections::VecDeque;

use super::patterns::{
    NAMED_DIRECTIVES, OPERATORS, bracketed_word, count, escaped_directive, float, identifier,
    integer, line_end, line_rest, set_directive, string_literal, text_length, word,
};
use super::token::{Kind, LexicalError, Token};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Default,
    Reference,
    ReferenceModifier,
    Call,
    Index,
    Directive,
    PreDirective,
    LineComment,
    BlockComment,
    FormalComment,
    TextBlock,
}

/// What a match leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Token(Kind),
    /// The match is kept and the next one is added to it.
    Dollar,
    TextBlockStart,
    FormalCommentStart,
    BlockCommentStart,
    Hash,
    /// One more character of a text block.
    MoreText,
    /// The match is thrown away.
    Skip,
    /// Ends a reference; its character is read again.
    ReferenceEnd,
    /// Ends a directive's name; its character is read again.
    DirectiveEnd,
}

#[derive(Debug, Clone, Copy)]
struct Saved {
    open: u32,
    closed: u32,
    state: State,
}

/// Cuts a template into tokens on demand.
#[derive(Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    state: State,
    stack: Vec<Saved>,
    open: u32,
    closed: u32,
    in_comment: bool,
    in_set: bool,
    /// Images of the special tokens since the last ordinary one.
    special: VecDeque<String>,
}

/// How deep the stack of states may grow. Each nested reference, directive and
/// index takes one place; a template within its size limit could else take
/// hundreds of thousands.
const STACK_LIMIT: usize = 2_000;

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            state: State::Default,
            stack: Vec::new(),
            open: 0,
            closed: 0,
            in_comment: false,
            in_set: false,
            special: VecDeque::new(),
        }
    }

    /// The parser has seen a directive's name.
    pub(super) fn enter_directive(&mut self) {
        self.state = State::Directive;
    }

    /// The name was followed by no parenthesis.
    pub(super) fn leave_directive(&mut self) {
        self.pop();
    }

    /// The parenthesis of a `#set` is closed.
    pub(super) fn end_set(&mut self) {
        self.in_set = false;
    }

    /// Whether a `(` comes next, white space aside.
    pub(super) fn at_parenthesis(&self) -> bool {
        self.text[self.at..]
            .trim_start_matches([' ', '\n', '\r', '\t'])
            .starts_with('(')
    }

    fn push(&mut self) {
        self.stack.push(Saved {
            open: self.open,
            closed: self.closed,
            state: self.state,
        });
        self.open = 0;
    }

    fn pop(&mut self) -> bool {
        let Some(saved) = self.stack.pop() else {
            self.open = 0;
            self.state = State::Default;
            return false;
        };
        self.open = saved.open;
        self.closed = saved.closed;
        self.state = saved.state;
        true
    }

    /// A `)` closes every state that has no `(` of its own, then its own.
    fn close_parenthesis(&mut self) {
        if self.in_comment {
            return;
        }
        loop {
            if self.open > 0 {
                if self.open == self.closed + 1 {
                    self.pop();
                } else {
                    self.closed += 1;
                }
                return;
            }
            if !self.pop() {
                return;
            }
        }
    }

    /// The next token.
    ///
    /// # Errors
    ///
    /// When nothing fits the characters in the present state, or the template
    /// ends inside a token.
    pub(super) fn next(&mut self) -> Result<Token, LexicalError> {
        loop {
            let mut start = self.at;
            if start >= self.text.len() {
                return Ok(Token {
                    kind: Kind::End,
                    image: String::new(),
                    skipped: self.take_skipped(),
                    offset: start,
                });
            }
            // Matches that only begin a token are added up until one ends it.
            loop {
                if self.stack.len() > STACK_LIMIT {
                    return Err(LexicalError { offset: self.at });
                }
                let matched = self.longest_match();
                let Some((length, rule)) = matched else {
                    return Err(LexicalError { offset: self.at });
                };
                self.at += length;
                match rule {
                    Rule::Skip => {
                        start = self.at;
                        if start >= self.text.len() {
                            return Ok(Token {
                                kind: Kind::End,
                                image: String::new(),
                                skipped: self.take_skipped(),
                                offset: start,
                            });
                        }
                        continue;
                    }
                    Rule::Dollar => self.see_dollar(),
                    Rule::Hash => self.see_hash(),
                    Rule::TextBlockStart => self.begin_comment(State::TextBlock),
                    Rule::BlockCommentStart => self.begin_comment(State::BlockComment),
                    Rule::FormalCommentStart => {
                        if !self.in_comment {
                            // The character after `#**` is read again.
                            let kept = start_of_last_character(self.text, self.at);
                            self.at = kept;
                        }
                        self.begin_comment(State::FormalComment);
                    }
                    Rule::MoreText => {}
                    Rule::ReferenceEnd | Rule::DirectiveEnd => {
                        self.special.push_back(self.text[start..self.at].to_owned());
                        self.at -= length;
                        self.pop();
                        break;
                    }
                    Rule::Token(kind) => return Ok(self.finish(kind, start, length)),
                }
                if self.at >= self.text.len() {
                    return Err(LexicalError { offset: self.at });
                }
            }
        }
    }

    fn see_dollar(&mut self) {
        if self.in_comment {
            return;
        }
        if self.state == State::Reference {
            self.pop();
        }
        self.push();
        self.state = State::Reference;
    }

    fn see_hash(&mut self) {
        if self.in_comment {
            return;
        }
        if matches!(self.state, State::Reference | State::ReferenceModifier) {
            self.pop();
        }
        self.push();
        self.state = State::PreDirective;
    }

    fn begin_comment(&mut self, state: State) {
        if !self.in_comment {
            self.in_comment = true;
            self.push();
            self.state = state;
        }
    }

    /// Makes the token and does what it does to the machine.
    fn finish(&mut self, kind: Kind, start: usize, length: usize) -> Token {
        let mut image = self.text[start..self.at].to_owned();
        match kind {
            Kind::IndexOpen => {
                self.push();
                self.state = State::Index;
            }
            Kind::IndexClose => {
                self.pop();
            }
            Kind::ParenOpen => {
                self.open += u32::from(!self.in_comment);
                if self.state == State::ReferenceModifier {
                    self.state = State::Call;
                }
            }
            Kind::ParenClose => self.close_parenthesis(),
            Kind::CallClose => self.state = State::Reference,
            Kind::Set if !self.in_comment => {
                self.push();
                self.in_set = true;
                self.state = State::Directive;
                self.open += 1;
            }
            Kind::LineComment if !self.in_comment => {
                if self.state == State::Reference {
                    self.pop();
                }
                self.in_comment = true;
                self.push();
                self.state = State::LineComment;
            }
            Kind::LineCommentEnd
            | Kind::BlockCommentEnd
            | Kind::FormalCommentEnd
            | Kind::TextBlock => {
                self.in_comment = false;
                self.pop();
            }
            Kind::StringLiteral
                if self.state == State::Directive && !self.in_set && self.open == 0 =>
            {
                self.pop();
            }
            Kind::LineEnd => {
                self.pop();
                self.in_set = false;
            }
            Kind::EndDirective | Kind::Else | Kind::CurlyClose => {
                self.pop();
            }
            Kind::If | Kind::ElseIf => self.state = State::Directive,
            Kind::Integer => {
                if image.ends_with("..") {
                    image.truncate(image.len() - 2);
                    self.at -= 2;
                }
                if self.open == 0
                    && !self.in_set
                    && self.state != State::Call
                    && self.state != State::Index
                {
                    self.pop();
                }
            }
            Kind::Float if self.open == 0 && !self.in_set && self.state != State::Call => {
                self.pop();
            }
            Kind::Dot => {
                // The letter after the point is read again.
                self.at -= length - 1;
                ".".clone_into(&mut image);
                self.state = State::ReferenceModifier;
            }
            _ => {}
        }
        Token {
            kind,
            image,
            skipped: self.take_skipped(),
            offset: start,
        }
    }

    /// What the special tokens before an ordinary one print: their `$`, `#`
    /// and escapes, nothing else.
    fn take_skipped(&mut self) -> String {
        let mut printed = String::new();
        if self
            .special
            .back()
            .is_some_and(|image| image.starts_with("##"))
        {
            self.special.clear();
            return printed;
        }
        for image in self.special.drain(..) {
            let characters: Vec<char> = image.chars().collect();
            let mut at = 0;
            while at < characters.len() {
                match characters[at] {
                    found @ ('#' | '$') => printed.push(found),
                    '\\' => {
                        let mut end = at;
                        while characters.get(end) == Some(&'\\') {
                            end += 1;
                        }
                        if characters.get(end) == Some(&'$') {
                            printed.extend(&characters[at..=end]);
                            at = end + 1;
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        printed
    }

    /// The longest match at the present place; among equals the first rule.
    fn longest_match(&self) -> Option<(usize, Rule)> {
        let rest = &self.text.as_bytes()[self.at..];
        let mut best: Option<(usize, Rule)> = None;
        let mut offer = |length: usize, rule: Rule| {
            if length > 0 && best.is_none_or(|(longest, _)| length > longest) {
                best = Some((length, rule));
            }
        };
        let first = *rest.first()?;
        let state = self.state;
        let token = Rule::Token;

        if state == State::Default && !matches!(first, b'$' | b'#' | b'\\' | b' ' | b'\t') {
            // The common case: text up to the next character with a meaning.
            return Some((text_length(rest), token(Kind::Text)));
        }
        if matches!(state, State::Reference | State::ReferenceModifier) && first == b'[' {
            offer(1, token(Kind::IndexOpen));
        }
        if state == State::Index && first == b']' {
            offer(1, token(Kind::IndexClose));
        }
        let nested = matches!(state, State::Directive | State::Call);
        if nested {
            match first {
                b'[' => offer(1, token(Kind::ListOpen)),
                b']' => offer(1, token(Kind::ListClose)),
                b',' => offer(1, token(Kind::Comma)),
                b':' => offer(1, token(Kind::Colon)),
                b'{' => offer(1, token(Kind::MapOpen)),
                b'}' => offer(1, token(Kind::MapClose)),
                b'.' if rest.get(1) == Some(&b'.') => offer(2, token(Kind::DoubleDot)),
                _ => {}
            }
        }
        if matches!(state, State::Directive | State::ReferenceModifier) && first == b'(' {
            offer(1, token(Kind::ParenOpen));
        }
        if first == b')' {
            if state == State::Directive {
                offer(1 + line_rest(&rest[1..]), token(Kind::ParenClose));
            } else if state == State::Call {
                offer(1, token(Kind::CallClose));
            }
        }
        if state == State::Default {
            offer(escaped_directive(rest), token(Kind::EscapedDirective));
        }
        if matches!(
            state,
            State::Default | State::Reference | State::ReferenceModifier | State::Call
        ) {
            offer(set_directive(rest), token(Kind::Set));
        }
        // These begin a token in every state.
        let escapes = count(rest, b'\\');
        if rest.get(escapes) == Some(&b'$') {
            let more = count(&rest[escapes + 1..], b'\\');
            if rest.get(escapes + 1 + more) == Some(&b'!') {
                offer(escapes + more + 2, Rule::Dollar);
            } else {
                offer(escapes + 1, Rule::Dollar);
            }
        }
        if first == b'#' {
            if rest.starts_with(b"#[[") {
                offer(3, Rule::TextBlockStart);
            }
            if rest.starts_with(b"#**") && rest.len() > 3 && rest[3] != b'#' {
                let next = self.text[self.at + 3..]
                    .chars()
                    .next()
                    .map_or(1, char::len_utf8);
                offer(3 + next, Rule::FormalCommentStart);
            }
            if rest.starts_with(b"#*") {
                offer(2, Rule::BlockCommentStart);
            }
            offer(1, Rule::Hash);
            if rest.starts_with(b"##")
                && matches!(
                    state,
                    State::Default | State::PreDirective | State::Directive | State::Reference
                )
            {
                offer(2, token(Kind::LineComment));
            }
        }
        if state == State::Default {
            if rest.starts_with(b"\\\\") {
                offer(2, token(Kind::DoubleEscape));
            }
            if first == b'\\' {
                offer(1, token(Kind::Escape));
            }
            offer(text_length(rest), token(Kind::Text));
        }
        let character = self.text[self.at..]
            .chars()
            .next()
            .map_or(1, char::len_utf8);
        match state {
            State::LineComment => {
                offer(line_end(rest), token(Kind::LineCommentEnd));
                offer(character, Rule::Skip);
            }
            State::FormalComment | State::BlockComment => {
                if rest.starts_with(b"*#") {
                    offer(
                        2,
                        token(if state == State::FormalComment {
                            Kind::FormalCommentEnd
                        } else {
                            Kind::BlockCommentEnd
                        }),
                    );
                }
                offer(character, Rule::Skip);
            }
            State::TextBlock => {
                if rest.starts_with(b"]]#") {
                    offer(3, token(Kind::TextBlock));
                }
                offer(character, Rule::MoreText);
            }
            _ => {}
        }
        if nested || state == State::Index {
            offer(
                rest.iter()
                    .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
                    .count(),
                token(Kind::Space),
            );
            offer(string_literal(rest), token(Kind::StringLiteral));
        }
        if matches!(
            state,
            State::Reference
                | State::Directive
                | State::ReferenceModifier
                | State::Call
                | State::Index
        ) {
            if rest.starts_with(b"true") {
                offer(4, token(Kind::True));
            }
            if rest.starts_with(b"false") {
                offer(5, token(Kind::False));
            }
        }
        if state == State::Directive {
            offer(line_end(rest), token(Kind::LineEnd));
            for (sign, kind) in OPERATORS {
                if rest.starts_with(sign) {
                    offer(sign.len(), token(*kind));
                }
            }
        }
        if state == State::PreDirective {
            for (word, kind) in NAMED_DIRECTIVES {
                let braced = rest.first() == Some(&b'{')
                    && rest[1..].starts_with(word)
                    && rest.get(1 + word.len()) == Some(&b'}');
                let length = if braced {
                    word.len() + 2
                } else if rest.starts_with(word) {
                    word.len()
                } else {
                    continue;
                };
                let eats_line = matches!(kind, Kind::EndDirective | Kind::Else);
                let eaten = if eats_line {
                    line_rest(&rest[length..])
                } else {
                    0
                };
                offer(length + eaten, token(*kind));
            }
        }
        if matches!(
            state,
            State::PreDirective | State::Directive | State::Call | State::Index
        ) {
            offer(integer(rest), token(Kind::Integer));
            offer(float(rest), token(Kind::Float));
        }
        if matches!(state, State::PreDirective | State::Directive) {
            offer(word(rest), token(Kind::Word));
            offer(bracketed_word(rest), token(Kind::BracketedWord));
        }
        if matches!(
            state,
            State::Reference | State::ReferenceModifier | State::Call
        ) {
            offer(identifier(rest), token(Kind::Identifier));
            if first == b'.' && rest.get(1).is_some_and(u8::is_ascii_alphabetic) {
                offer(2, token(Kind::Dot));
            }
        }
        if matches!(state, State::Reference | State::ReferenceModifier) {
            match first {
                b'{' => offer(1, token(Kind::CurlyOpen)),
                b'}' => offer(1, token(Kind::CurlyClose)),
                _ => {}
            }
            offer(character, Rule::ReferenceEnd);
        }
        if state == State::PreDirective {
            offer(character, Rule::DirectiveEnd);
        }
        if matches!(state, State::Default | State::Reference) {
            for start in [&b"$["[..], b"$![", b"$\\![", b"$."] {
                if rest.starts_with(start) {
                    offer(start.len(), token(Kind::EmptyIndex));
                }
            }
        }
        best
    }
}

fn start_of_last_character(text: &str, end: usize) -> usize {
    text[..end]
        .char_indices()
        .next_back()
        .map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let mut lexer = Lexer::new(text);
        let mut kinds = Vec::new();
        loop {
            let token = lexer.next().unwrap();
            if token.kind == Kind::End {
                return kinds;
            }
            kinds.push(token.kind);
        }
    }

    #[test]
    fn a_reference_ends_where_its_name_ends() {
        assert_eq!(kinds("$a b"), [Kind::Identifier, Kind::Text]);
    }

    #[test]
    fn blanks_before_set_belong_to_it_only_where_no_text_precedes() {
        assert_eq!(kinds("  #set($a = 1)")[0], Kind::Set);
        assert_eq!(kinds("x  #set($a = 1)")[..2], [Kind::Text, Kind::Set]);
    }

    #[test]
    fn a_dollar_at_the_end_is_an_error() {
        let mut lexer = Lexer::new("$");

        assert_eq!(lexer.next().unwrap_err(), LexicalError { offset: 1 });
    }
}
