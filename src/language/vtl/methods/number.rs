//! `java.lang.Integer`, `Long`, `Double`, `Boolean`, `Character` and their
//! kin. Their static methods are reached through any of their values, as in
//! `$i.parseInt("42")`.

use std::rc::Rc;

use num_bigint::BigInt;

use super::super::number::{Number, Operator};
use super::super::render::{Failure, Renderer};
use super::super::value::Value;
use super::{Name, Outcome, int_argument, no_match, text};

const WITHOUT_PARAMETERS: &[Name] = &[
    Name::ByteValue,
    Name::ShortValue,
    Name::IntValue,
    Name::LongValue,
    Name::FloatValue,
    Name::DoubleValue,
];

const DOUBLE_WITHOUT_PARAMETERS: &[Name] = &[
    Name::ByteValue,
    Name::ShortValue,
    Name::IntValue,
    Name::LongValue,
    Name::FloatValue,
    Name::DoubleValue,
    Name::IsNaN,
    Name::IsInfinite,
];

#[expect(clippy::cast_possible_truncation, reason = "Java's narrowing")]
pub(super) fn call<'a>(
    renderer: &mut Renderer<'a>,
    number: &Number,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let made = match (name, arguments) {
        (Name::IntValue, []) => Number::Integer(number.to_int()),
        (Name::LongValue, []) => Number::Long(number.to_long()),
        (Name::ShortValue, []) => Number::Short(number.to_int() as i16),
        (Name::ByteValue, []) => Number::Byte(number.to_int() as i8),
        (Name::DoubleValue, []) => Number::Double(number.to_double()),
        (Name::FloatValue, []) => Number::Float(number.to_float()),
        (Name::CompareTo, [other]) => return compare_to(number, other),
        _ => {
            return match number {
                Number::Integer(_) => integer(renderer, number, name, arguments),
                Number::Long(_) => long(renderer, number, name, arguments),
                Number::Double(_) | Number::Float(_) => double(number, name, arguments),
                Number::BigInteger(_) | Number::BigDecimal(_) => big(number, name, arguments),
                Number::Byte(_) | Number::Short(_) => no_match(name, arguments, WITHOUT_PARAMETERS),
            };
        }
    };
    Ok(Value::Number(made))
}

fn compare_to<'a>(number: &Number, other: &Value<'a>) -> Outcome<'a> {
    let Value::Number(other) = other else {
        return Err(Failure::thrown("not a number to compare with"));
    };
    if std::mem::discriminant(number) != std::mem::discriminant(other) {
        return Err(Failure::thrown("not a number of the same type"));
    }
    Ok(Value::int(Number::compare(number, other) as i32))
}

fn not_a_number() -> Failure {
    Failure::thrown("not a number")
}

/// Java's `parseInt` and `parseLong`: a sign and digits, nothing else.
fn parse(text: &str, radix: i32) -> Result<i64, Failure> {
    let radix = u32::try_from(radix)
        .ok()
        .filter(|radix| (2..=36).contains(radix))
        .ok_or_else(not_a_number)?;
    i64::from_str_radix(text, radix).map_err(|_| not_a_number())
}

fn int(value: i64) -> Result<Number, Failure> {
    i32::try_from(value)
        .map(Number::Integer)
        .map_err(|_| not_a_number())
}

/// `decode`: `0x`, `#` and a leading zero name the radix.
fn decode(text: &str) -> Result<i64, Failure> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = if let Some(hex) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .or_else(|| digits.strip_prefix('#'))
    {
        (hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (&digits[1..], 8)
    } else {
        (digits, 10)
    };
    if digits.starts_with(['+', '-']) {
        return Err(not_a_number());
    }
    Ok(parse(digits, radix)? * sign)
}

fn in_radix(value: i64, radix: i32) -> String {
    let radix = u64::try_from(radix)
        .ok()
        .filter(|radix| (2..=36).contains(radix))
        .unwrap_or(10);
    let mut rest = value.unsigned_abs();
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(rest % radix).unwrap_or(0);
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        rest /= radix;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        digits.push('-');
    }
    digits.iter().rev().collect()
}

fn integer<'a>(
    renderer: &mut Renderer<'a>,
    number: &Number,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let made = match (name, arguments) {
        (Name::ParseInt | Name::ValueOf, [Value::Text(text)]) => int(parse(text.as_str(), 10)?)?,
        (Name::ParseInt | Name::ValueOf, [Value::Text(text), radix]) => match int_argument(radix) {
            Some(radix) => int(parse(text.as_str(), radix)?)?,
            None => return Ok(Value::Null),
        },
        (Name::Decode, [Value::Text(text)]) => int(decode(text.as_str())?)?,
        (_, [only]) => match int_argument(only) {
            Some(value) => match name {
                Name::ValueOf => Number::Integer(value),
                Name::HashCode => Number::Integer(value),
                Name::Signum => Number::Integer(value.signum()),
                Name::BitCount => Number::Integer(value.count_ones().cast_signed()),
                Name::Reverse => Number::Integer(value.reverse_bits()),
                Name::ToString => return renderer.made(value.to_string()),
                Name::ToHexString => return renderer.made(format!("{value:x}")),
                Name::ToOctalString => return renderer.made(format!("{value:o}")),
                Name::ToBinaryString => return renderer.made(format!("{value:b}")),
                _ => return no_match(name, arguments, WITHOUT_PARAMETERS),
            },
            None => return no_match(name, arguments, WITHOUT_PARAMETERS),
        },
        (_, [a, b]) => match (int_argument(a), int_argument(b)) {
            (Some(a), Some(b)) => match name {
                Name::Max => Number::Integer(a.max(b)),
                Name::Min => Number::Integer(a.min(b)),
                Name::Sum => Number::Integer(a.wrapping_add(b)),
                Name::Compare => Number::Integer(a.cmp(&b) as i32),
                Name::ToString => return renderer.made(in_radix(i64::from(a), b)),
                _ => return no_match(name, arguments, WITHOUT_PARAMETERS),
            },
            _ => return no_match(name, arguments, WITHOUT_PARAMETERS),
        },
        _ => {
            let _ = number;
            return no_match(name, arguments, WITHOUT_PARAMETERS);
        }
    };
    Ok(Value::Number(made))
}

/// An argument for a `long` parameter.
fn long_argument(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Number(Number::Long(value)) => Some(*value),
        _ => int_argument(value).map(i64::from),
    }
}

fn long<'a>(
    renderer: &mut Renderer<'a>,
    number: &Number,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let made = match (name, arguments) {
        (Name::ParseLong | Name::ValueOf, [Value::Text(text)]) => {
            Number::Long(parse(text.as_str(), 10)?)
        }
        (Name::ParseLong | Name::ValueOf, [Value::Text(text), radix]) => {
            match int_argument(radix) {
                Some(radix) => Number::Long(parse(text.as_str(), radix)?),
                None => return Ok(Value::Null),
            }
        }
        (Name::Decode, [Value::Text(text)]) => Number::Long(decode(text.as_str())?),
        (_, [only]) => match long_argument(only) {
            Some(value) => match name {
                Name::ValueOf => Number::Long(value),
                Name::Signum => Number::Integer(i32::try_from(value.signum()).unwrap_or(0)),
                Name::BitCount => Number::Integer(value.count_ones().cast_signed()),
                Name::HashCode => Number::Integer(Number::Long(value).hash_code()),
                Name::Reverse => Number::Long(value.reverse_bits()),
                Name::ToString => return renderer.made(value.to_string()),
                Name::ToHexString => return renderer.made(format!("{value:x}")),
                Name::ToOctalString => return renderer.made(format!("{value:o}")),
                Name::ToBinaryString => return renderer.made(format!("{value:b}")),
                _ => return no_match(name, arguments, WITHOUT_PARAMETERS),
            },
            None => return no_match(name, arguments, WITHOUT_PARAMETERS),
        },
        (_, [a, b]) => match (long_argument(a), long_argument(b)) {
            (Some(a), Some(b)) => match name {
                Name::Max => Number::Long(a.max(b)),
                Name::Min => Number::Long(a.min(b)),
                Name::Sum => Number::Long(a.wrapping_add(b)),
                Name::Compare => Number::Integer(a.cmp(&b) as i32),
                Name::ToString => {
                    return match int_argument(&arguments[1]) {
                        Some(radix) => renderer.made(in_radix(a, radix)),
                        None => Ok(Value::Null),
                    };
                }
                _ => return no_match(name, arguments, WITHOUT_PARAMETERS),
            },
            _ => return no_match(name, arguments, WITHOUT_PARAMETERS),
        },
        _ => {
            let _ = number;
            return no_match(name, arguments, WITHOUT_PARAMETERS);
        }
    };
    Ok(Value::Number(made))
}

/// An argument for a `double` parameter.
fn double_argument(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Number(number @ (Number::Double(_) | Number::Float(_))) => Some(number.to_double()),
        _ => long_argument(value).map(|value| Number::Long(value).to_double()),
    }
}

fn parse_double(text: &str) -> Result<f64, Failure> {
    let trimmed = text.trim_matches(|c: char| c <= ' ');
    let digits = trimmed.trim_start_matches(['+', '-']);
    let plain = match digits {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => {
            return Ok(if trimmed.starts_with('-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            });
        }
        _ if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            trimmed.trim_end_matches(['d', 'D', 'f', 'F'])
        }
        _ => return Err(not_a_number()),
    };
    plain.parse().map_err(|_| not_a_number())
}

fn double<'a>(number: &Number, name: Name, arguments: &[Value<'a>]) -> Outcome<'a> {
    let value = number.to_double();
    Ok(match (name, arguments) {
        (Name::IsNaN, []) => Value::Boolean(value.is_nan()),
        (Name::IsInfinite, []) => Value::Boolean(value.is_infinite()),
        (Name::ParseDouble | Name::ValueOf, [Value::Text(text)]) => {
            Value::Number(Number::Double(parse_double(text.as_str())?))
        }
        (_, [only]) => match double_argument(only) {
            Some(value) => match name {
                Name::IsNaN => Value::Boolean(value.is_nan()),
                Name::IsInfinite => Value::Boolean(value.is_infinite()),
                Name::IsFinite => Value::Boolean(value.is_finite()),
                Name::ValueOf => Value::Number(Number::Double(value)),
                Name::HashCode => Value::int(Number::Double(value).hash_code()),
                Name::ToString => {
                    let mut text = String::new();
                    Number::Double(value).write(&mut text);
                    Value::from(text)
                }
                _ => return no_match(name, arguments, DOUBLE_WITHOUT_PARAMETERS),
            },
            None => return no_match(name, arguments, DOUBLE_WITHOUT_PARAMETERS),
        },
        (_, [a, b]) => match (double_argument(a), double_argument(b)) {
            (Some(a), Some(b)) => match name {
                Name::Max => Value::Number(Number::Double(a.max(b))),
                Name::Min => Value::Number(Number::Double(a.min(b))),
                Name::Sum => Value::Number(Number::Double(a + b)),
                Name::Compare => Value::int(a.total_cmp(&b) as i32),
                _ => return no_match(name, arguments, DOUBLE_WITHOUT_PARAMETERS),
            },
            _ => return no_match(name, arguments, DOUBLE_WITHOUT_PARAMETERS),
        },
        _ => return no_match(name, arguments, DOUBLE_WITHOUT_PARAMETERS),
    })
}

fn big<'a>(number: &Number, name: Name, arguments: &[Value<'a>]) -> Outcome<'a> {
    let operator = match name {
        Name::Add => Operator::Add,
        Name::Subtract => Operator::Subtract,
        Name::Multiply => Operator::Multiply,
        Name::Divide => Operator::Divide,
        Name::Mod => Operator::Modulo,
        Name::Abs | Name::Negate => {
            let zero = Number::Integer(0);
            let negative = Number::compare(number, &zero).is_lt();
            if !arguments.is_empty() {
                return Err(Failure::thrown("wrong number of arguments"));
            }
            if name == Name::Abs && !negative {
                return Ok(Value::Number(number.clone()));
            }
            return Ok(Value::Number(match number {
                Number::BigInteger(value) => Number::BigInteger(Rc::new(-BigInt::clone(value))),
                _ => Number::calculate(Operator::Subtract, &zero, number)
                    .map_err(|_| not_a_number())?,
            }));
        }
        Name::Signum if arguments.is_empty() => {
            return Ok(Value::int(
                Number::compare(number, &Number::Integer(0)) as i32
            ));
        }
        _ => return no_match(name, arguments, WITHOUT_PARAMETERS),
    };
    match arguments {
        [Value::Number(other)]
            if std::mem::discriminant(number) == std::mem::discriminant(other) =>
        {
            Number::calculate(operator, number, other)
                .map(Value::Number)
                .map_err(|_| Failure::thrown("arithmetic"))
        }
        _ => Ok(Value::Null),
    }
}

pub(super) fn call_boolean<'a>(value: bool, name: Name, arguments: &[Value<'a>]) -> Outcome<'a> {
    let made = match (name, arguments) {
        (Name::BooleanValue, []) => value,
        (Name::ParseBoolean | Name::ValueOf, [Value::Text(text)]) => {
            text.as_str().eq_ignore_ascii_case("true")
        }
        (Name::ValueOf, [Value::Boolean(value)]) => *value,
        (Name::ToString, [Value::Boolean(value)]) => {
            return Ok(Value::text(if *value { "true" } else { "false" }));
        }
        (Name::LogicalAnd, [Value::Boolean(a), Value::Boolean(b)]) => *a && *b,
        (Name::LogicalOr, [Value::Boolean(a), Value::Boolean(b)]) => *a || *b,
        (Name::LogicalXor, [Value::Boolean(a), Value::Boolean(b)]) => a != b,
        (Name::CompareTo, [Value::Boolean(other)]) => {
            return Ok(Value::int(value.cmp(other) as i32));
        }
        (Name::CompareTo, [_]) => return Err(Failure::thrown("not a boolean to compare with")),
        (Name::Compare, [Value::Boolean(a), Value::Boolean(b)]) => {
            return Ok(Value::int(a.cmp(b) as i32));
        }
        _ => return no_match(name, arguments, &[Name::BooleanValue]),
    };
    Ok(Value::Boolean(made))
}

pub(super) fn call_character<'a>(unit: u16, name: Name, arguments: &[Value<'a>]) -> Outcome<'a> {
    let character = |unit: u16| char::from_u32(u32::from(unit)).unwrap_or('\u{fffd}');
    Ok(match (name, arguments) {
        (Name::CharValue, []) => Value::Character(unit),
        (Name::CompareTo, [Value::Character(other)])
        | (Name::Compare, [_, Value::Character(other)]) => {
            Value::int(i32::from(unit) - i32::from(*other))
        }
        (Name::CompareTo, [_]) => return Err(Failure::thrown("not a character")),
        (_, [Value::Character(given)]) => {
            let given_character = character(*given);
            let mapped = |to: char| {
                let mut units = [0; 2];
                to.encode_utf16(&mut units);
                Value::Character(units[0])
            };
            match name {
                Name::IsDigit => Value::Boolean(given_character.is_numeric()),
                Name::IsLetter | Name::IsAlphabetic => {
                    Value::Boolean(given_character.is_alphabetic())
                }
                Name::IsLetterOrDigit => Value::Boolean(given_character.is_alphanumeric()),
                Name::IsUpperCase => Value::Boolean(given_character.is_uppercase()),
                Name::IsLowerCase => Value::Boolean(given_character.is_lowercase()),
                Name::IsWhitespace => Value::Boolean(text::is_java_space(given_character)),
                Name::ToUpperCase => mapped(text::single(
                    given_character,
                    given_character.to_uppercase(),
                )),
                Name::ToLowerCase => mapped(text::single(
                    given_character,
                    given_character.to_lowercase(),
                )),
                Name::GetNumericValue => Value::int(
                    given_character
                        .to_digit(36)
                        .and_then(|digit| i32::try_from(digit).ok())
                        .unwrap_or(-1),
                ),
                Name::ValueOf => Value::Character(*given),
                Name::ToString => Value::from(given_character.to_string()),
                _ => return no_match(name, arguments, &[Name::CharValue]),
            }
        }
        _ => return no_match(name, arguments, &[Name::CharValue]),
    })
}
