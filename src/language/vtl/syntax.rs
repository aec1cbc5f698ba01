//! The tokens read as a tree, by recursive descent.
//!
//! Each function is one rule of the grammar and looks ahead as far as the
//! original does, no further: what the lexer makes of a character depends on
//! what the parser has already read. The tree keeps numbers of tokens rather
//! than text, since the compiler still has to clean escapes off the tokens and
//! an undefined directive prints its tokens as they are then.
//!
//! Source of the rules: the grammar of Apache Velocity 1.7.

use std::collections::HashSet;

use super::lexer::Lexer;
use super::token::{Kind, Token};

/// The number of a token in [`Syntax::tokens`].
pub(super) type TokenId = usize;

/// A parsed text.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) tokens: Vec<Token>,
    pub(super) statements: Statements,
}

/// Statements, each with the byte offset where it begins.
pub(super) type Statements = Vec<(usize, Statement)>;

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Statement {
    Text(TokenId),
    TextBlock(TokenId),
    Comment(TokenId),
    Escape(String),
    Reference(Reference),
    Set {
        target: Reference,
        value: Expression,
    },
    If {
        branches: Vec<(Expression, Statements)>,
        otherwise: Option<Statements>,
    },
    Directive(Directive),
}

/// `$name.property.method(arguments)[index]`, with or without braces.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) first: TokenId,
    pub(super) last: TokenId,
    pub(super) steps: Vec<Step>,
}

/// What follows a reference's name.
#[derive(Debug)]
pub(super) enum Step {
    Property(TokenId),
    Method {
        name: TokenId,
        arguments: Vec<Expression>,
    },
    Index(Expression),
}

/// Something with a value.
#[derive(Debug)]
pub(super) enum Expression {
    String(TokenId),
    Integer(TokenId),
    Float(TokenId),
    Boolean(bool),
    Reference(Reference),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Range(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Binary(Kind, Box<Self>, Box<Self>),
}

/// A directive other than the ones with a rule of their own.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) first: TokenId,
    pub(super) last: TokenId,
    /// `None` where no parenthesis follows the name.
    pub(super) arguments: Option<Vec<Argument>>,
    pub(super) block: Option<Block>,
}

/// The statements between a directive and its `#end`.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) first: TokenId,
    pub(super) statements: Statements,
    /// The token after the last one.
    pub(super) end: TokenId,
}

/// An argument of a directive.
#[derive(Debug)]
pub(super) enum Argument {
    Word,
    Value(TokenId, Expression),
}

/// Why a text is no template.
#[derive(Debug)]
pub(super) struct SyntaxError {
    /// Byte offset of the token that does not fit.
    pub(super) offset: usize,
    pub(super) message: String,
}

/// Directives that exist at AWS besides `#if`, `#set` and their kin. `#macro`
/// is read and dropped; `#evaluate`, `#parse` and `#include` are unknown words.
const BLOCK_DIRECTIVES: &[&str] = &["foreach", "macro", "literal", "define"];
const LINE_DIRECTIVES: &[&str] = &["break", "stop"];

/// Whether `name` is a directive with a meaning.
pub(super) fn is_directive(name: &str) -> bool {
    BLOCK_DIRECTIVES.contains(&name) || LINE_DIRECTIVES.contains(&name)
}

/// How deep statements and expressions may nest. A bound of ours, so that
/// hostile input cannot use up the stack.
pub(super) const DEPTH_LIMIT: usize = 200;

/// Reads `text`, which stands `depth` strings deep in its template.
///
/// # Errors
///
/// The first place that does not fit the grammar.
pub(super) fn parse(text: &str, depth: usize) -> Result<Syntax, SyntaxError> {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        tokens: Vec::new(),
        at: 0,
        depth,
        macros: HashSet::new(),
    };
    let statements = parser.statements()?;
    let end = parser.peek(0)?;
    if end != Kind::End {
        return Err(parser.unexpected("a directive, a reference or text"));
    }
    Ok(Syntax {
        tokens: parser.tokens,
        statements,
    })
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    tokens: Vec<Token>,
    at: TokenId,
    depth: usize,
    macros: HashSet<String>,
}

impl Parser<'_> {
    /// The kind of the token `ahead` places on.
    fn peek(&mut self, ahead: usize) -> Result<Kind, SyntaxError> {
        while self.tokens.len() <= self.at + ahead {
            if let Some(last) = self.tokens.last()
                && last.kind == Kind::End
            {
                return Ok(Kind::End);
            }
            let token = self.lexer.next().map_err(|error| SyntaxError {
                offset: error.offset,
                message: "no directive, reference or literal can be read here".to_owned(),
            })?;
            self.tokens.push(token);
        }
        Ok(self.tokens[self.at + ahead].kind)
    }

    fn take(&mut self, kind: Kind, expected: &str) -> Result<TokenId, SyntaxError> {
        if self.peek(0)? != kind {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(self.at - 1)
    }

    fn skip(&mut self, kind: Kind) -> Result<bool, SyntaxError> {
        let found = self.peek(0)? == kind;
        if found {
            self.at += 1;
        }
        Ok(found)
    }

    /// An error at the next token.
    fn unexpected(&self, expected: &str) -> SyntaxError {
        let token = self.tokens.get(self.at);
        let found = match token {
            Some(token) if token.kind != Kind::End => {
                let image: String = token.image.chars().take(40).collect();
                format!("`{}`", image.escape_debug())
            }
            _ => "the end of the template".to_owned(),
        };
        SyntaxError {
            offset: token.map_or(0, |token| token.offset),
            message: format!("found {found}, expected {expected}"),
        }
    }

    fn deeper(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            let mut error = self.unexpected("less nesting");
            error.message = format!("nested more than {DEPTH_LIMIT} levels deep");
            return Err(error);
        }
        Ok(())
    }

    fn statements(&mut self) -> Result<Statements, SyntaxError> {
        self.deeper()?;
        let mut statements = Vec::new();
        loop {
            let kind = self.peek(0)?;
            let offset = self.tokens[self.at].offset;
            let statement = match kind {
                Kind::If => self.if_statement()?,
                Kind::Identifier => Statement::Reference(self.reference()?),
                Kind::CurlyOpen if self.peek(1)? == Kind::Identifier => {
                    Statement::Reference(self.reference()?)
                }
                Kind::LineComment => {
                    let first = self.at;
                    self.at += 1;
                    self.skip(Kind::LineCommentEnd)?;
                    Statement::Comment(first)
                }
                Kind::BlockCommentEnd | Kind::FormalCommentEnd => {
                    self.at += 1;
                    Statement::Comment(self.at - 1)
                }
                Kind::TextBlock => {
                    self.at += 1;
                    Statement::TextBlock(self.at - 1)
                }
                Kind::Set => self.set()?,
                Kind::EscapedDirective => {
                    self.at += 1;
                    let image = self.tokens[self.at - 1].image.clone();
                    let text = self.unescape_directive(&image);
                    // The token keeps the text too, for `#literal`.
                    self.tokens[self.at - 1].image.clone_from(&text);
                    Statement::Escape(text)
                }
                Kind::DoubleEscape => self.escape()?,
                Kind::Word | Kind::BracketedWord => Statement::Directive(self.directive()?),
                Kind::Text
                | Kind::Dot
                | Kind::ParenClose
                | Kind::ParenOpen
                | Kind::Integer
                | Kind::Float
                | Kind::StringLiteral
                | Kind::Escape
                | Kind::CurlyOpen
                | Kind::CurlyClose
                | Kind::EmptyIndex => {
                    self.at += 1;
                    Statement::Text(self.at - 1)
                }
                _ => break,
            };
            statements.push((offset, statement));
        }
        self.depth -= 1;
        Ok(statements)
    }

    /// `\#if`: half the backslashes go where the word is a directive.
    fn unescape_directive(&self, image: &str) -> String {
        let hash = image.find('#').unwrap_or(0);
        let directive = &image[hash..];
        let name = directive[1..].trim_start_matches('{').trim_end_matches('}');
        let known = is_directive(name)
            || self.macros.contains(name)
            || matches!(name, "if" | "end" | "set" | "else" | "elseif");
        if known {
            format!("{}{directive}", &image[..(hash - 1) / 2])
        } else {
            image.to_owned()
        }
    }

    /// `\\` before a directive is one backslash, elsewhere it stays two.
    fn escape(&mut self) -> Result<Statement, SyntaxError> {
        let mut count = 0;
        while self.skip(Kind::DoubleEscape)? {
            count += 1;
        }
        let next = self.peek(0)?;
        let mut control = matches!(
            next,
            Kind::If | Kind::Else | Kind::ElseIf | Kind::EndDirective
        );
        if next != Kind::End {
            let image = &self.tokens[self.at].image;
            let name: String = image.chars().skip(1).collect();
            control |= is_directive(&name) || self.macros.contains(&name);
        }
        let piece = if control { "\\" } else { "\\\\" };
        Ok(Statement::Escape(piece.repeat(count)))
    }

    fn if_statement(&mut self) -> Result<Statement, SyntaxError> {
        let mut branches = Vec::new();
        self.take(Kind::If, "#if")?;
        branches.push(self.branch()?);
        while self.skip(Kind::ElseIf)? {
            branches.push(self.branch()?);
        }
        let otherwise = if self.skip(Kind::Else)? {
            Some(self.statements()?)
        } else {
            None
        };
        self.take(Kind::EndDirective, "#end of an #if")?;
        Ok(Statement::If {
            branches,
            otherwise,
        })
    }

    fn branch(&mut self) -> Result<(Expression, Statements), SyntaxError> {
        self.skip(Kind::Space)?;
        self.take(Kind::ParenOpen, "`(` before a condition")?;
        let condition = self.expression()?;
        self.take(Kind::ParenClose, "an operator or `)` after a condition")?;
        Ok((condition, self.statements()?))
    }

    fn set(&mut self) -> Result<Statement, SyntaxError> {
        self.take(Kind::Set, "#set")?;
        self.skip(Kind::Space)?;
        let target = self.reference()?;
        self.skip(Kind::Space)?;
        self.take(Kind::Assign, "`=` after the reference of a #set")?;
        let value = self.expression()?;
        self.take(Kind::ParenClose, "an operator or `)` after a #set's value")?;
        self.lexer.end_set();
        self.skip(Kind::LineEnd)?;
        Ok(Statement::Set { target, value })
    }

    fn reference(&mut self) -> Result<Reference, SyntaxError> {
        let first = self.at;
        let formal = self.skip(Kind::CurlyOpen)?;
        self.take(Kind::Identifier, "a reference such as $name")?;
        let mut steps = Vec::new();
        self.indexes(&mut steps)?;
        while self.peek(0)? == Kind::Dot && self.peek(1)? == Kind::Identifier {
            self.at += 1;
            if self.peek(1)? == Kind::ParenOpen && begins_arguments(self.peek(2)?) {
                let name = self.at;
                self.at += 2;
                let arguments = self.parameters(Kind::CallClose)?;
                self.take(Kind::CallClose, "`,` or `)` after a method's argument")?;
                steps.push(Step::Method { name, arguments });
            } else {
                steps.push(Step::Property(self.at));
                self.at += 1;
            }
            self.indexes(&mut steps)?;
        }
        if formal {
            self.take(Kind::CurlyClose, "`}` after a reference")?;
        }
        Ok(Reference {
            first,
            last: self.at - 1,
            steps,
        })
    }

    fn indexes(&mut self, steps: &mut Vec<Step>) -> Result<(), SyntaxError> {
        while self.skip(Kind::IndexOpen)? {
            self.deeper()?;
            self.skip(Kind::Space)?;
            let index = match self.peek(0)? {
                Kind::StringLiteral => self.single(Expression::String),
                Kind::Integer => self.single(Expression::Integer),
                Kind::True => self.single(|_| Expression::Boolean(true)),
                Kind::False => self.single(|_| Expression::Boolean(false)),
                Kind::Identifier | Kind::CurlyOpen => Expression::Reference(self.reference()?),
                _ => return Err(self.unexpected("a string, a number or a reference in [ ]")),
            };
            self.skip(Kind::Space)?;
            self.take(Kind::IndexClose, "`]` after an index")?;
            self.depth -= 1;
            steps.push(Step::Index(index));
        }
        Ok(())
    }

    fn single(&mut self, make: impl FnOnce(TokenId) -> Expression) -> Expression {
        self.at += 1;
        make(self.at - 1)
    }

    /// Parameters up to, but without, the token that closes them.
    fn parameters(&mut self, close: Kind) -> Result<Vec<Expression>, SyntaxError> {
        let mut parameters = Vec::new();
        if self.peek(0)? != close {
            parameters.push(self.parameter()?);
            while self.skip(Kind::Comma)? {
                parameters.push(self.parameter()?);
            }
        }
        Ok(parameters)
    }

    fn parameter(&mut self) -> Result<Expression, SyntaxError> {
        self.skip(Kind::Space)?;
        let Some(value) = self.operand()? else {
            return Err(self.unexpected("a value"));
        };
        self.skip(Kind::Space)?;
        Ok(value)
    }

    /// A literal, list, map, range or reference; `None` if none begins here.
    fn operand(&mut self) -> Result<Option<Expression>, SyntaxError> {
        self.deeper()?;
        let value = match self.peek(0)? {
            Kind::StringLiteral => self.single(Expression::String),
            Kind::Integer => self.single(Expression::Integer),
            Kind::Float => self.single(Expression::Float),
            Kind::True => self.single(|_| Expression::Boolean(true)),
            Kind::False => self.single(|_| Expression::Boolean(false)),
            Kind::Identifier | Kind::CurlyOpen => Expression::Reference(self.reference()?),
            Kind::ListOpen if self.range_ahead()? => self.range()?,
            Kind::ListOpen => {
                self.at += 1;
                let items = self.parameters(Kind::ListClose)?;
                self.take(Kind::ListClose, "`,` or `]` after a list's item")?;
                Expression::List(items)
            }
            Kind::MapOpen => self.map()?,
            _ => return Ok(None),
        };
        self.depth -= 1;
        Ok(Some(value))
    }

    fn map(&mut self) -> Result<Expression, SyntaxError> {
        self.at += 1;
        let mut entries = Vec::new();
        let closes = |kind| matches!(kind, Kind::MapClose | Kind::CurlyClose);
        let blank = self.peek(0)? == Kind::Space;
        if closes(self.peek(usize::from(blank))?) {
            self.at += usize::from(blank);
        } else {
            loop {
                let key = self.parameter()?;
                self.take(Kind::Colon, "`:` after a map's key")?;
                entries.push((key, self.parameter()?));
                if !self.skip(Kind::Comma)? {
                    break;
                }
            }
        }
        if !closes(self.peek(0)?) {
            return Err(self.unexpected("`,` or `}` after a map's value"));
        }
        self.at += 1;
        Ok(Expression::Map(entries))
    }

    /// Whether a range `[a..b]` stands here rather than a list.
    fn range_ahead(&mut self) -> Result<bool, SyntaxError> {
        let mut ahead = 1;
        if self.peek(ahead)? == Kind::Space {
            ahead += 1;
        }
        match self.peek(ahead)? {
            Kind::Integer => ahead += 1,
            Kind::Identifier | Kind::CurlyOpen => {
                let Some(after) = self.reference_end(ahead)? else {
                    return Ok(false);
                };
                ahead = after;
            }
            _ => return Ok(false),
        }
        if self.peek(ahead)? == Kind::Space {
            ahead += 1;
        }
        Ok(self.peek(ahead)? == Kind::DoubleDot)
    }

    /// Where the reference that begins `ahead` places on ends. What stands in
    /// its brackets is only counted: reading it here and then again would take
    /// twice the time for each level of nesting.
    fn reference_end(&mut self, mut ahead: usize) -> Result<Option<usize>, SyntaxError> {
        let formal = self.peek(ahead)? == Kind::CurlyOpen;
        ahead += usize::from(formal);
        if self.peek(ahead)? != Kind::Identifier {
            return Ok(None);
        }
        ahead += 1;
        loop {
            match self.peek(ahead)? {
                Kind::IndexOpen => {
                    let Some(after) = self.balanced(ahead, Kind::IndexOpen, Kind::IndexClose)?
                    else {
                        return Ok(None);
                    };
                    ahead = after;
                }
                Kind::Dot if self.peek(ahead + 1)? == Kind::Identifier => {
                    ahead += 2;
                    if self.peek(ahead)? == Kind::ParenOpen {
                        let Some(after) = self.balanced(ahead, Kind::ParenOpen, Kind::CallClose)?
                        else {
                            return Ok(None);
                        };
                        ahead = after;
                    }
                }
                Kind::CurlyClose if formal => return Ok(Some(ahead + 1)),
                _ if formal => return Ok(None),
                _ => return Ok(Some(ahead)),
            }
        }
    }

    fn balanced(
        &mut self,
        mut ahead: usize,
        open: Kind,
        close: Kind,
    ) -> Result<Option<usize>, SyntaxError> {
        let mut depth = 0_usize;
        loop {
            let kind = self.peek(ahead)?;
            ahead += 1;
            if kind == open {
                depth += 1;
            } else if kind == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(ahead));
                }
            } else if kind == Kind::End {
                return Ok(None);
            }
        }
    }

    fn range(&mut self) -> Result<Expression, SyntaxError> {
        self.take(Kind::ListOpen, "`[`")?;
        let from = self.bound()?;
        self.take(Kind::DoubleDot, "`..`")?;
        let to = self.bound()?;
        self.take(Kind::ListClose, "`]` after a range")?;
        Ok(Expression::Range(Box::new(from), Box::new(to)))
    }

    fn bound(&mut self) -> Result<Expression, SyntaxError> {
        self.skip(Kind::Space)?;
        let bound = match self.peek(0)? {
            Kind::Integer => self.single(Expression::Integer),
            Kind::Identifier | Kind::CurlyOpen => Expression::Reference(self.reference()?),
            _ => return Err(self.unexpected("a whole number or a reference")),
        };
        self.skip(Kind::Space)?;
        Ok(bound)
    }

    fn expression(&mut self) -> Result<Expression, SyntaxError> {
        self.binary(0)
    }

    /// Operators that bind at least as tightly as `loosest`.
    fn binary(&mut self, loosest: u8) -> Result<Expression, SyntaxError> {
        let mut left = self.unary()?;
        let mut chained = 0;
        loop {
            let operator = self.peek(0)?;
            let Some(tightness) = tightness(operator).filter(|found| *found >= loosest) else {
                self.depth -= chained;
                return Ok(left);
            };
            // A chain is evaluated as deep as it is long.
            chained += 1;
            self.deeper()?;
            self.at += 1;
            let right = self.binary(tightness + 1)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Result<Expression, SyntaxError> {
        let blank = usize::from(self.peek(0)? == Kind::Space);
        if self.peek(blank)? == Kind::Not {
            self.at += blank + 1;
            self.deeper()?;
            let operand = self.unary()?;
            self.depth -= 1;
            return Ok(Expression::Not(Box::new(operand)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expression, SyntaxError> {
        self.skip(Kind::Space)?;
        let value = if self.skip(Kind::ParenOpen)? {
            self.deeper()?;
            let inner = self.expression()?;
            self.take(Kind::ParenClose, "an operator or `)`")?;
            self.depth -= 1;
            inner
        } else {
            match self.operand()? {
                Some(value) => value,
                None => return Err(self.unexpected("a value")),
            }
        };
        self.skip(Kind::Space)?;
        Ok(value)
    }

    fn directive(&mut self) -> Result<Directive, SyntaxError> {
        let first = self.at;
        let image = &self.tokens[first].image;
        let name = if self.tokens[first].kind == Kind::BracketedWord {
            image.get(2..image.len() - 1).unwrap_or_default().to_owned()
        } else {
            image.get(1..).unwrap_or_default().to_owned()
        };
        let known = is_directive(&name);
        let is_macro = name == "macro";
        let is_block = BLOCK_DIRECTIVES.contains(&name.as_str()) || name.starts_with('@');
        self.at += 1;
        self.lexer.enter_directive();
        if !self.lexer.at_parenthesis() {
            if is_macro {
                return Err(SyntaxError {
                    offset: self.tokens[first].offset,
                    message: "#macro needs a name in parentheses".to_owned(),
                });
            }
            self.lexer.leave_directive();
            return Ok(Directive {
                name,
                first,
                last: first,
                arguments: None,
                block: None,
            });
        }
        self.skip(Kind::Space)?;
        self.take(Kind::ParenOpen, "`(` after a directive")?;
        let mut arguments = Vec::new();
        let mut macro_name = None;
        while self.argument_ahead()? {
            self.skip(Kind::Space)?;
            if self.skip(Kind::Comma)? {
                self.skip(Kind::Space)?;
            }
            let place = arguments.len();
            if self.peek(0)? == Kind::Word {
                let allowed = if is_macro {
                    place == 0
                } else {
                    !known || (name == "foreach" && place == 1)
                };
                if !allowed {
                    return Err(self.unexpected("a reference or a literal, not a bare word"));
                }
                if is_macro {
                    macro_name = Some(self.tokens[self.at].image.clone());
                }
                self.at += 1;
                arguments.push(Argument::Word);
                continue;
            }
            if is_macro && place == 0 {
                return Err(self.unexpected("the macro's name as a bare word"));
            }
            let start = self.at;
            match self.operand()? {
                Some(value) => arguments.push(Argument::Value(start, value)),
                None => return Err(self.unexpected("an argument")),
            }
        }
        self.skip(Kind::Space)?;
        self.take(Kind::ParenClose, "an argument or `)`")?;
        let mut block = None;
        if is_block {
            let start = self.at;
            let statements = self.statements()?;
            let end = self.take(Kind::EndDirective, &format!("#end of #{name}"))?;
            block = Some(Block {
                first: start,
                statements,
                end,
            });
            if is_macro {
                let Some(defined) = macro_name else {
                    return Err(SyntaxError {
                        offset: self.tokens[first].offset,
                        message: "#macro needs a name".to_owned(),
                    });
                };
                self.macros.insert(defined);
            }
        }
        Ok(Directive {
            name,
            first,
            last: self.at - 1,
            arguments: Some(arguments),
            block,
        })
    }

    fn argument_ahead(&mut self) -> Result<bool, SyntaxError> {
        let first = self.peek(0)?;
        Ok(match first {
            Kind::Space => {
                let next = self.peek(1)?;
                next == Kind::Comma || begins_argument(next)
            }
            Kind::Comma => {
                let next = self.peek(1)?;
                next == Kind::Space || begins_argument(next)
            }
            _ => begins_argument(first),
        })
    }
}

/// How tightly an operator binds; `None` if it is none.
fn tightness(kind: Kind) -> Option<u8> {
    Some(match kind {
        Kind::Or => 0,
        Kind::And => 1,
        Kind::Equal | Kind::NotEqual => 2,
        Kind::Less | Kind::Greater | Kind::LessOrEqual | Kind::GreaterOrEqual => 3,
        Kind::Plus | Kind::Minus => 4,
        Kind::Times | Kind::Divide | Kind::Modulo => 5,
        _ => return None,
    })
}

fn begins_argument(kind: Kind) -> bool {
    kind == Kind::Word || begins_value(kind)
}

fn begins_value(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Identifier
            | Kind::CurlyOpen
            | Kind::StringLiteral
            | Kind::Integer
            | Kind::Float
            | Kind::ListOpen
            | Kind::MapOpen
            | Kind::True
            | Kind::False
    )
}

/// What may stand after a method's `(`.
fn begins_arguments(kind: Kind) -> bool {
    matches!(kind, Kind::Space | Kind::CallClose) || begins_value(kind)
}
