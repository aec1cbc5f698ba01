//! `String.format`.
//!
//! The conversions templates use: `s S c C d x X o f e b B h n %`, with the
//! flags `- 0 + , ( #` and blank, a width, a precision and an argument's
//! number. An argument of the wrong type fails, as in Java.

use super::super::number::Number;
use super::super::render::{Failure, Renderer};
use super::super::value::{ListKind, Value};

/// Widths and precisions beyond this fail.
const WIDTH_LIMIT: usize = 100_000;

#[derive(Debug, Default)]
struct Conversion {
    minus: bool,
    zero: bool,
    plus: bool,
    space: bool,
    comma: bool,
    paren: bool,
    alternate: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats `arguments` by `pattern`.
pub(super) fn format<'a>(
    renderer: &mut Renderer<'a>,
    pattern: &str,
    arguments: &[Value<'a>],
) -> Result<String, Failure> {
    let spread;
    let arguments = match arguments {
        [Value::List(list)] if list.kind == ListKind::Array => {
            spread = list.items.borrow().clone();
            spread.as_slice()
        }
        other => other,
    };
    let mut out = String::new();
    let mut next = 0;
    let mut last = None;
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut conversion = Conversion::default();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let mut explicit = None;
        if digits > 0 && rest[digits..].starts_with('$') {
            explicit = rest[..digits].parse::<usize>().ok();
            rest = &rest[digits + 1..];
        }
        let mut again = false;
        rest = rest.trim_start_matches(|flag| {
            match flag {
                '-' => conversion.minus = true,
                '0' => conversion.zero = true,
                '+' => conversion.plus = true,
                ' ' => conversion.space = true,
                ',' => conversion.comma = true,
                '(' => conversion.paren = true,
                '#' => conversion.alternate = true,
                '<' => again = true,
                _ => return false,
            }
            true
        });
        conversion.width = number(&mut rest)?;
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            conversion.precision = Some(number(&mut rest)?.ok_or_else(|| bad("a bare point"))?);
        }
        let Some(letter) = rest.chars().next() else {
            return Err(bad("an unfinished conversion"));
        };
        rest = &rest[letter.len_utf8()..];
        match letter {
            'n' => {
                out.push('\n');
                continue;
            }
            '%' => {
                pad(&mut out, "%", &conversion);
                continue;
            }
            _ => {}
        }
        let index = if again {
            last.ok_or_else(|| bad("no argument before"))?
        } else if let Some(number) = explicit {
            number.wrapping_sub(1)
        } else {
            next += 1;
            next - 1
        };
        last = Some(index);
        let argument = arguments
            .get(index)
            .ok_or_else(|| bad("an argument is missing"))?;
        let text = convert(renderer, letter, argument, &conversion)?;
        renderer.charge(text.len() + conversion.width.unwrap_or(0))?;
        pad(&mut out, &text, &conversion);
        renderer.within_text_limit(out.len())?;
    }
    out.push_str(rest);
    renderer.charge(out.len())?;
    Ok(out)
}

fn bad(what: &str) -> Failure {
    Failure::thrown(&format!("bad format: {what}"))
}

fn number(rest: &mut &str) -> Result<Option<usize>, Failure> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok(None);
    }
    let value: usize = rest[..digits].parse().unwrap_or(usize::MAX);
    if value > WIDTH_LIMIT {
        return Err(Failure::limit("the width of a format is too large"));
    }
    *rest = &rest[digits..];
    Ok(Some(value))
}

fn pad(out: &mut String, text: &str, conversion: &Conversion) {
    let length = super::text::length(text);
    let missing = conversion.width.unwrap_or(0).saturating_sub(length);
    if conversion.minus {
        out.push_str(text);
    }
    for _ in 0..missing {
        out.push(' ');
    }
    if !conversion.minus {
        out.push_str(text);
    }
}

fn convert<'a>(
    renderer: &mut Renderer<'a>,
    letter: char,
    argument: &Value<'a>,
    conversion: &Conversion,
) -> Result<String, Failure> {
    let lower = letter.to_ascii_lowercase();
    let cut = |text: &str| match conversion.precision {
        Some(length) => text.chars().take(length).collect(),
        None => text.to_owned(),
    };
    let text = match (lower, argument) {
        ('b', Value::Boolean(value)) => cut(if *value { "true" } else { "false" }),
        ('b', Value::Null) => cut("false"),
        ('b', _) => cut("true"),
        ('s' | 'h', Value::Null) | ('d' | 'x' | 'o' | 'f' | 'e' | 'g' | 'c', Value::Null) => {
            cut("null")
        }
        ('s', _) => cut(renderer.text_of(argument)?.as_str()),
        ('h', _) => format!("{:x}", super::hash_code(argument, &mut 100_000, 100)),
        ('c', Value::Character(unit)) => String::from_utf16_lossy(&[*unit]),
        (
            'c',
            Value::Number(number @ (Number::Integer(_) | Number::Short(_) | Number::Byte(_))),
        ) => u32::try_from(number.to_int())
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| bad("no such character"))?
            .to_string(),
        ('d', Value::Number(number)) if !is_fraction(number) => {
            let mut text = String::new();
            number.write(&mut text);
            signed(&text, "", conversion)
        }
        ('x' | 'o', Value::Number(number)) if !is_fraction(number) => {
            let text = match number {
                Number::BigInteger(big) if lower == 'x' => format!("{:x}", **big),
                Number::BigInteger(big) => format!("{:o}", **big),
                Number::Long(value) if lower == 'x' => format!("{value:x}"),
                Number::Long(value) => format!("{value:o}"),
                Number::Byte(value) if lower == 'x' => format!("{value:x}"),
                Number::Short(value) if lower == 'x' => format!("{value:x}"),
                _ if lower == 'x' => format!("{:x}", number.to_int()),
                _ => format!("{:o}", number.to_int()),
            };
            let prefix = match (conversion.alternate, lower) {
                (true, 'x') => "0x",
                (true, _) => "0",
                _ => "",
            };
            zeros(&format!("{prefix}{text}"), prefix.len(), conversion)
        }
        ('f', Value::Number(number)) if is_fraction(number) => fixed(number, conversion)?,
        ('e', Value::Number(number @ (Number::Double(_) | Number::Float(_)))) => {
            let precision = conversion.precision.unwrap_or(6);
            let text = format!("{:.precision$e}", number.to_double());
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            signed(
                mantissa,
                &format!("e{sign}{:02}", exponent.abs()),
                conversion,
            )
        }
        _ => return Err(bad("an argument does not fit its conversion")),
    };
    Ok(if letter.is_ascii_uppercase() {
        text.to_uppercase()
    } else {
        text
    })
}

fn is_fraction(number: &Number) -> bool {
    matches!(
        number,
        Number::Double(_) | Number::Float(_) | Number::BigDecimal(_)
    )
}

/// `%f`: half up from the shortest decimal text, as Java does it.
fn fixed(number: &Number, conversion: &Conversion) -> Result<String, Failure> {
    let value = number.to_double();
    if !value.is_finite() {
        let mut text = String::new();
        number.write(&mut text);
        return Ok(text);
    }
    let precision = conversion.precision.unwrap_or(6);
    let shortest = match number {
        Number::BigDecimal(value) => value.to_string(),
        _ => format!("{value}"),
    };
    if shortest.contains(['e', 'E']) {
        return Ok(signed(&format!("{value:.precision$}"), "", conversion));
    }
    let (sign, digits) = match shortest.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", shortest.as_str()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() <= precision {
        let point = if precision > 0 { "." } else { "" };
        let missing = "0".repeat(precision - fraction.len());
        return Ok(signed(
            &format!("{sign}{whole}{point}{fraction}{missing}"),
            "",
            conversion,
        ));
    }
    let mut kept: Vec<u8> = format!("0{whole}{}", &fraction[..precision]).into_bytes();
    if fraction.as_bytes()[precision] >= b'5' {
        for digit in kept.iter_mut().rev() {
            if *digit == b'9' {
                *digit = b'0';
            } else {
                *digit += 1;
                break;
            }
        }
    }
    let text = String::from_utf8(kept).map_err(|_| bad("not a number"))?;
    let (whole, fraction) = text.split_at(text.len() - precision);
    let whole = whole.strip_prefix('0').unwrap_or(whole);
    let point = if precision > 0 { "." } else { "" };
    Ok(signed(
        &format!("{sign}{whole}{point}{fraction}"),
        "",
        conversion,
    ))
}

/// Adds sign, grouping and zeros to a decimal text.
fn signed(text: &str, suffix: &str, conversion: &Conversion) -> String {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let mut body = String::new();
    if conversion.comma {
        let (whole, fraction) = match digits.find('.') {
            Some(at) => digits.split_at(at),
            None => (digits, ""),
        };
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index) % 3 == 0 {
                body.push(',');
            }
            body.push(digit);
        }
        body.push_str(fraction);
    } else {
        body.push_str(digits);
    }
    body.push_str(suffix);
    let sign = match (negative, conversion.paren) {
        (true, true) => "(",
        (true, false) => "-",
        _ if conversion.plus => "+",
        _ if conversion.space => " ",
        _ => "",
    };
    let close = if negative && conversion.paren {
        ")"
    } else {
        ""
    };
    let text = format!("{sign}{body}{close}");
    zeros(&text, sign.len(), conversion)
}

fn zeros(text: &str, after: usize, conversion: &Conversion) -> String {
    match conversion.width {
        Some(width) if conversion.zero && text.len() < width => {
            let (head, tail) = text.split_at(after);
            format!("{head}{}{tail}", "0".repeat(width - text.len()))
        }
        _ => text.to_owned(),
    }
}
