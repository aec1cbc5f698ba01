//! The patterns of tokens: how many bytes of a text each one takes.
//!
//! Zero means that the pattern does not fit. Which patterns are tried in which
//! state is the lexer's business.

use super::token::Kind;

/// Operators of directives; a word among them loses to a longer word.
pub(super) const OPERATORS: &[(&[u8], Kind)] = &[
    (b"-", Kind::Minus),
    (b"+", Kind::Plus),
    (b"*", Kind::Times),
    (b"/", Kind::Divide),
    (b"%", Kind::Modulo),
    (b"&&", Kind::And),
    (b"and", Kind::And),
    (b"||", Kind::Or),
    (b"or", Kind::Or),
    (b"<", Kind::Less),
    (b"lt", Kind::Less),
    (b"<=", Kind::LessOrEqual),
    (b"le", Kind::LessOrEqual),
    (b">", Kind::Greater),
    (b"gt", Kind::Greater),
    (b">=", Kind::GreaterOrEqual),
    (b"ge", Kind::GreaterOrEqual),
    (b"==", Kind::Equal),
    (b"eq", Kind::Equal),
    (b"!=", Kind::NotEqual),
    (b"ne", Kind::NotEqual),
    (b"!", Kind::Not),
    (b"not", Kind::Not),
    (b"=", Kind::Assign),
];

pub(super) const NAMED_DIRECTIVES: &[(&[u8], Kind)] = &[
    (b"end", Kind::EndDirective),
    (b"if", Kind::If),
    (b"elseif", Kind::ElseIf),
    (b"else", Kind::Else),
];

pub(super) fn count(bytes: &[u8], wanted: u8) -> usize {
    bytes.iter().take_while(|byte| **byte == wanted).count()
}

pub(super) fn text_length(bytes: &[u8]) -> usize {
    memchr::memchr3(b'$', b'#', b'\\', bytes).unwrap_or(bytes.len())
}

pub(super) fn line_end(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] => 2,
        [b'\n' | b'\r', ..] => 1,
        _ => 0,
    }
}

/// Blanks and a line end, or nothing if no line end comes.
pub(super) fn line_rest(bytes: &[u8]) -> usize {
    let blanks = bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    match line_end(&bytes[blanks..]) {
        0 => 0,
        end => blanks + end,
    }
}

pub(super) fn word(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(first) if first.is_ascii_alphabetic() || matches!(first, b'_' | b'@') => {
            1 + word_rest(&bytes[1..])
        }
        _ => 0,
    }
}

pub(super) fn word_rest(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@'))
        .count()
}

pub(super) fn bracketed_word(bytes: &[u8]) -> usize {
    match bytes {
        [b'{', first, rest @ ..] if first.is_ascii_alphabetic() || *first == b'_' => {
            let length = word_rest(rest);
            if rest.get(length) == Some(&b'}') {
                length + 3
            } else {
                0
            }
        }
        _ => 0,
    }
}

pub(super) fn identifier(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(first) if first.is_ascii_alphabetic() || *first == b'_' => {
            1 + bytes[1..]
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
                .count()
        }
        _ => 0,
    }
}

pub(super) fn escaped_directive(bytes: &[u8]) -> usize {
    let escapes = count(bytes, b'\\');
    if escapes.is_multiple_of(2) || bytes.get(escapes) != Some(&b'#') {
        return 0;
    }
    let name = &bytes[escapes + 1..];
    match word(name).max(bracketed_word(name)) {
        0 => 0,
        length => escapes + 1 + length,
    }
}

pub(super) fn set_directive(bytes: &[u8]) -> usize {
    let blanks = bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let rest = &bytes[blanks..];
    let name = if rest.starts_with(b"#set") {
        4
    } else if rest.starts_with(b"#{set}") {
        6
    } else {
        return 0;
    };
    let spaces = count(&rest[name..], b' ');
    if rest.get(name + spaces) == Some(&b'(') {
        blanks + name + spaces + 1
    } else {
        0
    }
}

/// A string in either quotes; its own quote is written twice inside.
pub(super) fn string_literal(bytes: &[u8]) -> usize {
    let quote = match bytes.first() {
        Some(found @ (b'"' | b'\'')) => *found,
        _ => return 0,
    };
    let mut at = 1;
    let mut end = 0;
    while let Some(found) = memchr::memchr(quote, &bytes[at..]) {
        at += found + 1;
        end = at;
        if bytes.get(at) != Some(&quote) {
            break;
        }
        at += 1;
    }
    end
}

pub(super) fn digits(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

pub(super) fn integer(bytes: &[u8]) -> usize {
    let sign = usize::from(bytes.first() == Some(&b'-'));
    match digits(&bytes[sign..]) {
        0 => 0,
        length if bytes[sign + length..].starts_with(b"..") => sign + length + 2,
        length => sign + length,
    }
}

pub(super) fn exponent(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'e' | b'E') => {
            let sign = usize::from(matches!(bytes.get(1), Some(b'+' | b'-')));
            match digits(&bytes[1 + sign..]) {
                0 => 0,
                length => 1 + sign + length,
            }
        }
        _ => 0,
    }
}

pub(super) fn float(bytes: &[u8]) -> usize {
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(&bytes[sign..]);
    let after = &bytes[sign + whole..];
    if after.first() == Some(&b'.') {
        let fraction = digits(&after[1..]);
        if whole == 0 && fraction == 0 {
            return 0;
        }
        return sign + whole + 1 + fraction + exponent(&after[1 + fraction..]);
    }
    match exponent(after) {
        0 => 0,
        _ if whole == 0 => 0,
        length => sign + whole + length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_the_last_quote_that_closes_it() {
        assert_eq!(string_literal(b"\"a\"\"b\" \""), 6);
        assert_eq!(string_literal(b"\"abc\"\""), 5);
        assert_eq!(string_literal(b"'"), 0);
    }
}
