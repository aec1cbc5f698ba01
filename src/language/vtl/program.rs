//! A template compiled: what the renderer runs.
//!
//! Names of variables are numbers of slots, names of properties and methods
//! are values of an enum, paths and constant strings are ready. Nothing in a
//! program changes while it runs, so threads share it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use num_bigint::BigInt;

use super::methods::Name;
use super::number::Operator;
use crate::language::jsonpath::Path;

/// The number of a variable.
pub(super) type Slot = usize;

/// A compiled template.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) body: Block,
    /// The variables' names, by slot.
    pub(super) names: Vec<Box<str>>,
    /// Slots of the objects AWS provides, if the template reads them.
    pub(super) input: Option<Slot>,
    pub(super) util: Option<Slot>,
    pub(super) context: Option<Slot>,
    pub(super) stage_variables: Option<Slot>,
    /// Slots that a loop keeps up to date, likewise.
    pub(super) loop_state: Option<Slot>,
    pub(super) loop_count: Option<Slot>,
    pub(super) loop_has_next: Option<Slot>,
    /// How much room to make for the output.
    pub(super) usual_length: AtomicUsize,
    /// Why it fails before anything is rendered.
    pub(super) late_error: Option<String>,
}

/// Pieces rendered one after the other.
#[derive(Debug, Default)]
pub struct Block {
    pub(super) nodes: Vec<Node>,
    /// Where each node begins in the template, in bytes.
    pub(super) offsets: Vec<usize>,
    /// How deep the expressions of its nodes nest; blocks inside it not
    /// counted. The renderer needs that much of the stack.
    pub(super) height: u32,
}

/// One piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Reference(Box<Print>),
    Set(Box<(Target, Expression)>),
    If(Box<[(Expression, Block)]>, Option<Block>),
    Foreach(Box<Foreach>),
    Define(Slot, Block),
    Stop(Option<Expression>),
    Break(Option<Expression>),
    /// Fails whenever it is reached.
    Fail(Box<str>),
}

/// A reference that is printed.
#[derive(Debug)]
pub(super) struct Print {
    /// What stands before the value: half the backslashes, a stray `$`.
    pub(super) prefix: Box<str>,
    pub(super) reference: Reference,
    /// The reference as written, printed instead if it is escaped.
    pub(super) escaped: Option<Box<str>>,
}

/// `$root.step.step`
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) root: Slot,
    pub(super) steps: Box<[Step]>,
}

/// What follows a reference's name.
#[derive(Debug)]
pub(super) enum Step {
    Property(Property),
    Method(Method),
    Index(Expression),
}

/// `.name`
#[derive(Debug)]
pub(super) struct Property {
    pub(super) text: Box<str>,
}

/// `.name(arguments)`
#[derive(Debug)]
pub(super) struct Method {
    pub(super) text: Box<str>,
    pub(super) name: Name,
    pub(super) arguments: Box<[Expression]>,
    /// The first argument as a JSONPath, where it is a constant and the method
    /// may be `$input`'s.
    pub(super) path: Option<Result<Arc<Path>, String>>,
}

/// The left side of a `#set`.
#[derive(Debug)]
pub(super) enum Target {
    /// A variable.
    Slot(Slot),
    /// The last step, in what the steps before it lead to.
    Inside(Reference),
}

/// Something with a value.
#[derive(Debug)]
pub(super) enum Expression {
    Null,
    Boolean(bool),
    Integer(i32),
    Long(i64),
    BigInteger(BigInt),
    Double(f64),
    Text(Box<str>),
    /// A string with references in it. The flag says that its last character
    /// is one too many.
    Interpolated(Block, bool),
    Reference(Reference),
    List(Box<[Self]>),
    Map(Box<[(Self, Self)]>),
    Range(Box<(Self, Self)>),
    Not(Box<Self>),
    And(Box<(Self, Self)>),
    Or(Box<(Self, Self)>),
    Calculate(Operator, Box<(Self, Self)>),
    Compare(Comparison, Box<(Self, Self)>),
}

/// Comparisons of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `#foreach($element in source) body #end`
#[derive(Debug)]
pub(super) struct Foreach {
    pub(super) element: Slot,
    pub(super) source: Expression,
    pub(super) body: Block,
}

impl Block {
    /// Notes how deep the expressions nest.
    pub(super) fn measure(&mut self) {
        self.height = self.nodes.iter().map(Node::height).max().unwrap_or(0);
    }
}

impl Node {
    fn height(&self) -> u32 {
        match self {
            Self::Text(_) | Self::Define(..) | Self::Fail(_) => 0,
            Self::Reference(print) => print.reference.height(),
            Self::Set(set) => {
                let target = match &set.0 {
                    Target::Slot(_) => 0,
                    Target::Inside(reference) => reference.height(),
                };
                target.max(set.1.height())
            }
            Self::If(branches, _) => branches
                .iter()
                .map(|(condition, _)| condition.height())
                .max()
                .unwrap_or(0),
            Self::Foreach(foreach) => foreach.source.height(),
            Self::Stop(value) | Self::Break(value) => value.as_ref().map_or(0, Expression::height),
        }
    }
}

impl Reference {
    fn height(&self) -> u32 {
        let step = |step: &Step| match step {
            Step::Property(_) => 0,
            Step::Method(method) => highest(&method.arguments),
            Step::Index(index) => index.height(),
        };
        1 + self.steps.iter().map(step).max().unwrap_or(0)
    }
}

impl Expression {
    fn height(&self) -> u32 {
        let pair = |pair: &(Self, Self)| 1 + pair.0.height().max(pair.1.height());
        match self {
            Self::Null
            | Self::Boolean(_)
            | Self::Integer(_)
            | Self::Long(_)
            | Self::BigInteger(_)
            | Self::Double(_)
            | Self::Text(_) => 0,
            // The block counts when it is rendered.
            Self::Interpolated(..) => 1,
            Self::Reference(reference) => reference.height(),
            Self::List(items) => 1 + highest(items),
            Self::Map(entries) => entries.iter().map(pair).max().unwrap_or(0),
            Self::Not(operand) => 1 + operand.height(),
            Self::Range(operands)
            | Self::And(operands)
            | Self::Or(operands)
            | Self::Calculate(_, operands)
            | Self::Compare(_, operands) => pair(operands),
        }
    }
}

fn highest(expressions: &[Expression]) -> u32 {
    expressions
        .iter()
        .map(Expression::height)
        .max()
        .unwrap_or(0)
}
