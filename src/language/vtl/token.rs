//! Tokens: what the lexer makes of a template's characters.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of the template.
    End,
    /// `[` after a reference.
    IndexOpen,
    /// `]` closing an index.
    IndexClose,
    /// `[` of a list.
    ListOpen,
    /// `]` of a list.
    ListClose,
    /// `,`
    Comma,
    /// `..`
    DoubleDot,
    /// `:`
    Colon,
    /// `{` of a map.
    MapOpen,
    /// `}` of a map.
    MapClose,
    /// `(`
    ParenOpen,
    /// `)` of a directive, with white space and one line end after it.
    ParenClose,
    /// `)` of a method call.
    CallClose,
    /// An escaped directive, `\#if`.
    EscapedDirective,
    /// `#set(`
    Set,
    /// `##`
    LineComment,
    /// The line end that closes a line comment.
    LineCommentEnd,
    /// The `*#` that closes a block comment.
    BlockCommentEnd,
    /// The `*#` that closes a `#**` comment.
    FormalCommentEnd,
    /// A whole `#[[ ... ]]#`.
    TextBlock,
    /// `\\`
    DoubleEscape,
    /// `\`
    Escape,
    /// Plain text.
    Text,
    /// White space inside parentheses.
    Space,
    /// A string with its quotes.
    StringLiteral,
    /// `true`
    True,
    /// `false`
    False,
    /// A line end inside a directive without parentheses.
    LineEnd,
    /// `-`
    Minus,
    /// `+`
    Plus,
    /// `*`
    Times,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `&&`, `and`
    And,
    /// `||`, `or`
    Or,
    /// `<`, `lt`
    Less,
    /// `<=`, `le`
    LessOrEqual,
    /// `>`, `gt`
    Greater,
    /// `>=`, `ge`
    GreaterOrEqual,
    /// `==`, `eq`
    Equal,
    /// `!=`, `ne`
    NotEqual,
    /// `!`, `not`
    Not,
    /// `=`
    Assign,
    /// `#end`
    EndDirective,
    /// `#if`
    If,
    /// `#elseif`
    ElseIf,
    /// `#else`
    Else,
    /// A whole number.
    Integer,
    /// A number with a point or an exponent.
    Float,
    /// A word in a directive, or a directive's name with its `#`.
    Word,
    /// A directive's name in braces.
    BracketedWord,
    /// A name in a reference.
    Identifier,
    /// `.` before a name in a reference.
    Dot,
    /// `{` of a formal reference.
    CurlyOpen,
    /// `}` of a formal reference.
    CurlyClose,
    /// `$[`, `$![` or `$.`: never a reference.
    EmptyIndex,
}

/// One token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The token's text. The compiler cleans escapes off it.
    pub(super) image: String,
    /// What skipped pieces before this token print in front of its text.
    pub(super) skipped: String,
    /// Byte offset of the first character.
    pub(super) offset: usize,
}

/// No token fits here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LexicalError {
    pub(super) offset: usize,
}
