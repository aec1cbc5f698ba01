//! From the syntax tree to the program.
//!
//! The original does this work when a template is first used: escapes are
//! cleaned off the first token of a reference, double-quoted strings are read
//! as templates of their own, directives check their arguments. The order
//! matters where a piece prints its tokens as written, because by then the
//! references among them have been cleaned.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use num_bigint::BigInt;

use super::methods::Name;
use super::number::{Number, Operator};
use super::program::{
    Block, Comparison, Expression, Foreach, Method, Node, Print, Program, Property, Reference,
    Slot, Step, Target,
};
use super::syntax::{self, Argument, Statement, Statements, SyntaxError};
use super::token::{Kind, Token};
use crate::language::jsonpath::Path;

/// Compiles a template.
///
/// # Errors
///
/// The first place that is no template, in it or in one of its strings.
pub(super) fn compile(text: &str) -> Result<Program, SyntaxError> {
    let mut compiler = Compiler {
        slots: HashMap::new(),
        names: Vec::new(),
        late_error: None,
        depth: 0,
        strings: 0,
        string_at: None,
    };
    let body = compiler.template(text)?;
    let slot = |name: &str| compiler.slots.get(name).copied();
    Ok(Program {
        body,
        input: slot("input"),
        util: slot("util"),
        context: slot("context"),
        stage_variables: slot("stageVariables"),
        loop_state: slot("foreach"),
        loop_count: slot("velocityCount"),
        loop_has_next: slot("velocityHasNext"),
        names: compiler.names,
        usual_length: AtomicUsize::new(256),
        late_error: compiler.late_error,
    })
}

/// How often strings may stand in strings. Each level is read again.
const STRING_DEPTH: usize = 16;

struct Compiler {
    slots: HashMap<String, Slot>,
    names: Vec<Box<str>>,
    late_error: Option<String>,
    /// How many statements stand around this place.
    depth: usize,
    strings: usize,
    /// Where the string around this place begins. What is inside it is said to
    /// be there: its text has no offsets of the template's own.
    string_at: Option<usize>,
}

/// A reference's first token taken apart.
struct Root {
    /// Half of the backslashes before the dollar, and stray characters.
    prefix: String,
    escaped: bool,
    name: RootName,
}

enum RootName {
    Variable(String),
    /// No reference after all: its text.
    Runt(String),
    /// `$\!name`: has no value.
    Uncomputable(String),
}

impl Compiler {
    fn template(&mut self, text: &str) -> Result<Block, SyntaxError> {
        let mut tree = syntax::parse(text, self.depth)?;
        let statements = std::mem::take(&mut tree.statements);
        self.block(statements, &mut tree.tokens)
    }

    fn fail_late(&mut self, message: String) {
        self.late_error.get_or_insert(message);
    }

    fn slot(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.names.len();
        self.names.push(name.into());
        self.slots.insert(name.to_owned(), slot);
        slot
    }

    fn block(
        &mut self,
        statements: Statements,
        tokens: &mut [Token],
    ) -> Result<Block, SyntaxError> {
        self.depth += 1;
        let mut block = Block::default();
        for (offset, statement) in statements {
            self.statement(statement, tokens, &mut block)?;
            let offset = self.string_at.unwrap_or(offset);
            block.offsets.resize(block.nodes.len(), offset);
        }
        self.depth -= 1;
        block.measure();
        Ok(block)
    }

    fn statement(
        &mut self,
        statement: Statement,
        tokens: &mut [Token],
        block: &mut Block,
    ) -> Result<(), SyntaxError> {
        match statement {
            Statement::Text(id) => {
                block.push_text(&tokens[id].skipped);
                block.push_text(&tokens[id].image);
            }
            Statement::TextBlock(id) => {
                // A stray `$` or `#` before the block is part of its token and
                // shifts what is cut off, as in the original.
                let image: Vec<char> = tokens[id].image.chars().collect();
                let inner = image.get(3..image.len().saturating_sub(3));
                let text: String = inner.unwrap_or_default().iter().collect();
                block.push_text(&text);
            }
            Statement::Comment(id) => {
                let image = &tokens[id].image;
                if let Some(end) = image.find("##").or_else(|| image.find("#*")) {
                    block.push_text(&image[..end]);
                }
            }
            Statement::Escape(text) => block.push_text(&text),
            Statement::Reference(reference) => {
                self.printed_reference(reference, tokens, block)?;
            }
            Statement::Set { target, value } => {
                let node = self.set(target, value, tokens)?;
                block.nodes.push(node);
            }
            Statement::If {
                branches,
                otherwise,
            } => {
                let mut compiled = Vec::with_capacity(branches.len());
                for (condition, statements) in branches {
                    let condition = self.expression(condition, tokens)?;
                    compiled.push((condition, self.block(statements, tokens)?));
                }
                let otherwise = match otherwise {
                    Some(statements) => Some(self.block(statements, tokens)?),
                    None => None,
                };
                block
                    .nodes
                    .push(Node::If(compiled.into_boxed_slice(), otherwise));
            }
            Statement::Directive(directive) => self.directive(directive, tokens, block)?,
        }
        Ok(())
    }

    fn printed_reference(
        &mut self,
        tree: syntax::Reference,
        tokens: &mut [Token],
        block: &mut Block,
    ) -> Result<(), SyntaxError> {
        let (first, last) = (tree.first, tree.last);
        let steps = self.steps(tree.steps, tokens)?;
        let root = clean_root(&mut tokens[first..=last]);
        match root.name {
            RootName::Runt(text) => block.push_text(&text),
            RootName::Uncomputable(_) => {}
            RootName::Variable(name) => {
                let escaped = root.escaped.then(|| literal(&tokens[first..=last]).into());
                let slot = self.slot(&name);
                block.nodes.push(Node::Reference(Box::new(Print {
                    prefix: root.prefix.into(),
                    reference: Reference {
                        root: slot,
                        steps: precompile_paths(&name, steps),
                    },
                    escaped,
                })));
            }
        }
        Ok(())
    }

    /// A reference inside an expression.
    fn reference(
        &mut self,
        tree: syntax::Reference,
        tokens: &mut [Token],
    ) -> Result<Expression, SyntaxError> {
        let (first, last) = (tree.first, tree.last);
        let steps = self.steps(tree.steps, tokens)?;
        Ok(match clean_root(&mut tokens[first..=last]).name {
            RootName::Variable(name) => Expression::Reference(Reference {
                root: self.slot(&name),
                steps: precompile_paths(&name, steps),
            }),
            RootName::Runt(_) | RootName::Uncomputable(_) => Expression::Null,
        })
    }

    fn steps(
        &mut self,
        steps: Vec<syntax::Step>,
        tokens: &mut [Token],
    ) -> Result<Vec<Step>, SyntaxError> {
        let mut compiled = Vec::with_capacity(steps.len());
        for step in steps {
            compiled.push(match step {
                syntax::Step::Property(id) => Step::Property(Property {
                    text: tokens[id].image.as_str().into(),
                }),
                syntax::Step::Method { name, arguments } => {
                    let text: Box<str> = tokens[name].image.as_str().into();
                    let mut compiled = Vec::with_capacity(arguments.len());
                    for argument in arguments {
                        compiled.push(self.expression(argument, tokens)?);
                    }
                    Step::Method(Method {
                        name: Name::of_method(&text),
                        text,
                        arguments: compiled.into(),
                        path: None,
                    })
                }
                syntax::Step::Index(index) => Step::Index(self.expression(index, tokens)?),
            });
        }
        Ok(compiled)
    }

    fn set(
        &mut self,
        target: syntax::Reference,
        value: syntax::Expression,
        tokens: &mut [Token],
    ) -> Result<Node, SyntaxError> {
        let (first, last) = (target.first, target.last);
        let steps = self.steps(target.steps, tokens)?;
        let root = clean_root(&mut tokens[first..=last]);
        let value = self.expression(value, tokens)?;
        let target = if steps.is_empty() {
            // The original cuts one character off the first token, so that
            // `${x}` sets a variable no template can read.
            let name: String = tokens[first].image.chars().skip(1).collect();
            Target::Slot(self.slot(&name))
        } else {
            let name = match root.name {
                RootName::Variable(name) | RootName::Runt(name) | RootName::Uncomputable(name) => {
                    name
                }
            };
            Target::Inside(Reference {
                root: self.slot(&name),
                steps: precompile_paths(&name, steps),
            })
        };
        Ok(Node::Set(Box::new((target, value))))
    }

    fn directive(
        &mut self,
        directive: syntax::Directive,
        tokens: &mut [Token],
        block: &mut Block,
    ) -> Result<(), SyntaxError> {
        let bare = directive.arguments.is_none();
        let mut arguments = Vec::new();
        for argument in directive.arguments.unwrap_or_default() {
            arguments.push(match argument {
                Argument::Word => None,
                Argument::Value(first, value) => Some((first, self.expression(value, tokens)?)),
            });
        }
        let (mut body, mut body_tokens) = (None, None);
        if let Some(tree) = directive.block {
            body_tokens = Some((tree.first, tree.end));
            body = Some(self.block(tree.statements, tokens)?);
        }
        match directive.name.as_str() {
            "foreach" if bare => {
                self.fail_late("#foreach needs a reference and a list".to_owned());
            }
            "foreach" => self.foreach(arguments, body, tokens, block),
            "define" => {
                let name = match arguments.as_slice() {
                    [Some((first, _))] => tokens[*first].image.chars().skip(1).collect::<String>(),
                    _ => {
                        self.fail_late("#define needs one reference".to_owned());
                        return Ok(());
                    }
                };
                let slot = self.slot(&name);
                block
                    .nodes
                    .push(Node::Define(slot, body.unwrap_or_default()));
            }
            name @ ("stop" | "break") => {
                if arguments.len() > 1 {
                    self.fail_late(format!("#{name} takes one argument at most"));
                }
                let argument = arguments.pop().flatten().map(|(_, value)| value);
                block.nodes.push(if name == "stop" {
                    Node::Stop(argument)
                } else {
                    Node::Break(argument)
                });
            }
            "literal" if bare => self.fail_late("#literal needs parentheses".to_owned()),
            "literal" => {
                if let Some((first, end)) = body_tokens
                    && arguments.is_empty()
                    && first < end
                {
                    block.push_text(&literal(&tokens[first..end]));
                }
            }
            // Inline macros are switched off: the definition is dropped, and a
            // call is an unknown directive.
            "macro" => {}
            _ => {
                for token in &tokens[directive.first..=directive.last] {
                    block.push_text(&token.image);
                }
            }
        }
        Ok(())
    }

    fn foreach(
        &mut self,
        arguments: Vec<Option<(usize, Expression)>>,
        body: Option<Block>,
        tokens: &[Token],
        block: &mut Block,
    ) {
        let count = arguments.len();
        let mut arguments = arguments.into_iter();
        let element = match arguments.next().flatten() {
            Some((_, Expression::Reference(reference))) => self.names[reference.root].to_string(),
            Some((first, _)) => tokens[first].image.chars().skip(1).collect(),
            None => String::new(),
        };
        let source = arguments.nth(1).flatten().map(|(_, source)| source);
        let fourth = arguments.next().flatten().map(|(_, value)| value);
        match (count, source) {
            (0 | 1, _) => block
                .nodes
                .push(Node::Fail("#foreach needs a reference and a list".into())),
            // With two arguments the block is what is looped over: no turn.
            (2, _) | (_, None) => {}
            (_, Some(source)) => {
                let element = self.slot(&element);
                block.nodes.push(Node::Foreach(Box::new(Foreach {
                    element,
                    source,
                    // A fourth argument takes the place of the block.
                    body: match fourth {
                        Some(Expression::Reference(reference)) => Block {
                            nodes: vec![Node::Reference(Box::new(Print {
                                prefix: "".into(),
                                reference,
                                escaped: None,
                            }))],
                            offsets: Vec::new(),
                            height: 1,
                        },
                        _ if count > 3 => Block::default(),
                        _ => body.unwrap_or_default(),
                    },
                })));
            }
        }
    }

    fn expression(
        &mut self,
        tree: syntax::Expression,
        tokens: &mut [Token],
    ) -> Result<Expression, SyntaxError> {
        use syntax::Expression as Tree;
        Ok(match tree {
            Tree::Boolean(value) => Expression::Boolean(value),
            Tree::Integer(id) => match Number::parse_integer(&tokens[id].image) {
                Some(Number::Integer(value)) => Expression::Integer(value),
                Some(Number::Long(value)) => Expression::Long(value),
                Some(Number::BigInteger(value)) => Expression::BigInteger(BigInt::clone(&value)),
                _ => self.no_number(&tokens[id].image),
            },
            Tree::Float(id) => match tokens[id].image.parse() {
                Ok(value) => Expression::Double(value),
                Err(_) => self.no_number(&tokens[id].image),
            },
            Tree::String(id) => self.string(&tokens[id].clone())?,
            Tree::Reference(reference) => self.reference(reference, tokens)?,
            Tree::List(items) => {
                let mut compiled = Vec::with_capacity(items.len());
                for item in items {
                    compiled.push(self.expression(item, tokens)?);
                }
                Expression::List(compiled.into())
            }
            Tree::Map(entries) => {
                let mut compiled = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = self.expression(key, tokens)?;
                    compiled.push((key, self.expression(value, tokens)?));
                }
                Expression::Map(compiled.into())
            }
            Tree::Range(from, to) => Expression::Range(Box::new(self.pair(*from, *to, tokens)?)),
            Tree::Not(operand) => Expression::Not(Box::new(self.expression(*operand, tokens)?)),
            Tree::Binary(kind, left, right) => {
                let pair = Box::new(self.pair(*left, *right, tokens)?);
                match kind {
                    Kind::Or => Expression::Or(pair),
                    Kind::And => Expression::And(pair),
                    Kind::Plus => Expression::Calculate(Operator::Add, pair),
                    Kind::Minus => Expression::Calculate(Operator::Subtract, pair),
                    Kind::Times => Expression::Calculate(Operator::Multiply, pair),
                    Kind::Divide => Expression::Calculate(Operator::Divide, pair),
                    Kind::Modulo => Expression::Calculate(Operator::Modulo, pair),
                    Kind::Less => Expression::Compare(Comparison::Less, pair),
                    Kind::LessOrEqual => Expression::Compare(Comparison::LessOrEqual, pair),
                    Kind::Greater => Expression::Compare(Comparison::Greater, pair),
                    Kind::GreaterOrEqual => Expression::Compare(Comparison::GreaterOrEqual, pair),
                    Kind::NotEqual => Expression::Compare(Comparison::NotEqual, pair),
                    _ => Expression::Compare(Comparison::Equal, pair),
                }
            }
        })
    }

    /// A stray `#` or `$` belongs to the number's token: no Java number.
    fn no_number(&mut self, image: &str) -> Expression {
        let start: String = image.chars().take(20).collect();
        self.fail_late(format!("`{start}` is no number"));
        Expression::Null
    }

    fn pair(
        &mut self,
        left: syntax::Expression,
        right: syntax::Expression,
        tokens: &mut [Token],
    ) -> Result<(Expression, Expression), SyntaxError> {
        let left = self.expression(left, tokens)?;
        Ok((left, self.expression(right, tokens)?))
    }

    /// A string: in single quotes as it stands, in double quotes a template.
    fn string(&mut self, token: &Token) -> Result<Expression, SyntaxError> {
        let quote = if token.image.starts_with('"') {
            '"'
        } else {
            '\''
        };
        let inner = token
            .image
            .get(1..token.image.len() - 1)
            .unwrap_or_default();
        let mut text = inner.to_owned();
        if quote == '"' && text.contains("\\u") {
            match unescape_unicode(&text) {
                Some(unescaped) => text = unescaped,
                None => {
                    self.fail_late("a \\u needs four hexadecimal digits".to_owned());
                    return Ok(Expression::Null);
                }
            }
        }
        if text.contains(quote) {
            text = undouble(&text, quote);
        }
        if quote == '\'' || !inner.contains(['$', '#']) {
            return Ok(Expression::Text(text.into()));
        }
        if self.strings >= STRING_DEPTH {
            return Err(SyntaxError {
                offset: token.offset,
                message: format!("strings nested more than {STRING_DEPTH} deep"),
            });
        }
        // The original adds a blank, so that a `$` or `#` at the end is text,
        // and takes the last character off the result.
        let padded = !text.contains("##");
        if padded {
            text.push(' ');
        }
        self.strings += 1;
        let outer = self.string_at;
        self.string_at = Some(outer.unwrap_or(token.offset));
        let result = self.template(&text);
        self.string_at = outer;
        self.strings -= 1;
        let mut block = result.map_err(|error| SyntaxError {
            offset: token.offset,
            message: format!("in this string: {}", error.message),
        })?;
        let mut cut_later = padded;
        if padded && let Some(Node::Text(last)) = block.nodes.last_mut() {
            last.pop();
            if last.is_empty() {
                block.nodes.pop();
                block.offsets.pop();
            }
            cut_later = false;
        }
        Ok(match block.nodes.as_mut_slice() {
            [] if !cut_later => Expression::Text("".into()),
            [Node::Text(only)] if !cut_later => Expression::Text(std::mem::take(only).into()),
            _ => Expression::Interpolated(block, cut_later),
        })
    }
}

impl Block {
    /// Adds text, to the text before it if there is some.
    fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Some(Node::Text(last)) = self.nodes.last_mut() {
            last.push_str(text);
        } else {
            self.nodes.push(Node::Text(text.into()));
        }
    }
}

/// Reads constant paths of `$input.path('...')` and `$input.json('...')`.
fn precompile_paths(root: &str, mut steps: Vec<Step>) -> Box<[Step]> {
    if root == "input"
        && let Some(Step::Method(method)) = steps.first_mut()
        && matches!(&*method.text, "path" | "json")
        && let [Expression::Text(path)] = &*method.arguments
    {
        method.path = Some(
            Path::compile(path)
                .map(Arc::new)
                .map_err(|error| error.to_string()),
        );
    }
    steps.into()
}

/// Cleans a reference's first token and tells what it refers to.
fn clean_root(tokens: &mut [Token]) -> Root {
    let mut image = tokens[0].image.clone();
    if image.contains("\\!") {
        // `$\!name` shows `$!name`: one backslash goes, whatever precedes.
        let dollar = image.find('$').unwrap_or(0);
        let start = image[dollar..]
            .find('\\')
            .map_or(image.len(), |at| dollar + at);
        let count = image[start..].bytes().take_while(|b| *b == b'\\').count();
        let mut text = image[..start].to_owned();
        text.push_str(&image[start..start + count.saturating_sub(1)]);
        text.push_str(&image[start + count..]);
        return Root {
            prefix: String::new(),
            escaped: false,
            name: RootName::Uncomputable(text),
        };
    }
    let escapes = image.bytes().take_while(|byte| *byte == b'\\').count();
    let mut prefix = image[..escapes / 2].to_owned();
    image.drain(..escapes);
    if let Some(dollar) = image.rfind('$')
        && dollar > 0
    {
        // Lost where the reference is escaped, as in the original.
        if escapes % 2 == 0 {
            prefix.push_str(&image[..dollar]);
        }
        image.drain(..dollar);
    }
    tokens[0].image.clone_from(&image);
    let second = tokens.get(1).map(|token| token.image.clone());
    let name = if image.starts_with("$!{") || image == "${" {
        RootName::Variable(second.unwrap_or_default())
    } else if let Some(name) = image.strip_prefix("$!") {
        RootName::Variable(name.to_owned())
    } else if let Some(name) = image.strip_prefix('$') {
        RootName::Variable(name.to_owned())
    } else {
        RootName::Runt(image)
    };
    Root {
        prefix,
        escaped: escapes % 2 == 1,
        name,
    }
}

/// Tokens as they were written, but for comments.
fn literal(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        if token.kind != Kind::BlockCommentEnd {
            text.push_str(&token.skipped);
            text.push_str(&token.image);
        }
    }
    text
}

/// `\u0041` is `A`; `None` if the four digits are missing.
fn unescape_unicode(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        units.extend(rest[..at].encode_utf16());
        let digits: String = rest[at + 2..].chars().take(4).collect();
        if digits.chars().count() < 4 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "Java casts to char")]
        #[expect(clippy::cast_sign_loss, reason = "Java casts to char")]
        let unit = i32::from_str_radix(&digits, 16).ok()? as u16;
        units.push(unit);
        rest = &rest[at + 2 + digits.len()..];
    }
    units.extend(rest.encode_utf16());
    Some(String::from_utf16_lossy(&units))
}

/// A quote written twice is one quote.
fn undouble(text: &str, quote: char) -> String {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        result.push(character);
        if character == quote && characters.peek() == Some(&quote) {
            characters.next();
        }
    }
    result
}
