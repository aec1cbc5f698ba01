//! What a definition's text says, with the place of each part.

use std::sync::Arc;

use indexmap::IndexMap;

/// A file that was read, as an index into [`Sources`](super::Sources).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId(pub u32);

/// A range of bytes in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// One value of a YAML or JSON document.
#[derive(Clone, Debug)]
pub struct Node {
    /// What stands there.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
    /// A YAML tag without its `!`, as in `!Sub`: CloudFormation's short form of an
    /// intrinsic function.
    pub tag: Option<Arc<str>>,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// A scalar. Its type is decided by who asks, since an account number in YAML
    /// is text that looks like a number.
    Scalar {
        /// The text, escapes undone.
        text: String,
        /// Written without quotes, so that it may be null, a boolean or a number.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in the order written.
    Mapping(Mapping),
}

/// Keys and values in the order written; each key with its place.
pub type Mapping = IndexMap<String, (Span, Node)>;
