//! Numbers as Java has them: eight types, what arithmetic makes of each pair,
//! and how they print.
//!
//! A template sees `7 / 2` as `3`, `7 / 2.0` as `3.5`, and `2147483647 + 1` as
//! `2147483648`, because Velocity widens a result that does not fit its type.
//! An operation that has no result (a division by zero, say) is `None`, and a
//! `#set` of it changes nothing.
//!
//! Source of the rules: `MathUtils` of Apache Velocity 1.7; `Double.toString`
//! and `BigDecimal` of the Java library.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::rc::Rc;

use num_bigint::{BigInt, Sign};

/// A Java `Number`.
#[derive(Debug, Clone)]
pub enum Number {
    /// 8 bits.
    Byte(i8),
    /// 16 bits.
    Short(i16),
    /// 32 bits: what a whole number in a template or a body is, if it fits.
    Integer(i32),
    /// 64 bits: what it is else.
    Long(i64),
    /// Only from `floatValue()`.
    Float(f32),
    /// What a number with a point is.
    Double(f64),
    /// A whole number beyond 64 bits.
    BigInteger(Rc<BigInt>),
    /// A number with a point of a body, longer than 18 characters.
    BigDecimal(Rc<Decimal>),
}

/// A Java `BigDecimal`: `unscaled` times ten to the minus `scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    pub(super) unscaled: BigInt,
    pub(super) scale: i64,
}

/// The longest number that arithmetic may make, in bits.
const BIT_LIMIT: u64 = 65_536;

/// The operators of `#set` and `#if` on numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The expression is null; the template goes on.
    Null,
    /// Java throws; the rendering ends.
    Thrown,
}

impl Number {
    /// Reads a whole number into the smallest of Integer, Long and BigInteger.
    pub(super) fn parse_integer(text: &str) -> Option<Self> {
        if let Ok(small) = text.parse::<i32>() {
            return Some(Self::Integer(small));
        }
        if let Ok(long) = text.parse::<i64>() {
            return Some(Self::Long(long));
        }
        if text.len() > 20_000 {
            return None;
        }
        text.parse::<BigInt>()
            .ok()
            .map(|big| Self::BigInteger(Rc::new(big)))
    }

    fn is_integer(&self) -> bool {
        !matches!(self, Self::Float(_) | Self::Double(_) | Self::BigDecimal(_))
    }

    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Byte(value) => *value == 0,
            Self::Short(value) => *value == 0,
            Self::Integer(value) => *value == 0,
            Self::Long(value) => *value == 0,
            Self::Float(value) => *value == 0.0,
            Self::Double(value) => *value == 0.0,
            Self::BigInteger(value) => value.sign() == Sign::NoSign,
            Self::BigDecimal(value) => value.unscaled.sign() == Sign::NoSign,
        }
    }

    /// Java's `longValue`: cut to 64 bits.
    #[expect(clippy::cast_possible_truncation, reason = "Java's narrowing")]
    pub(super) fn to_long(&self) -> i64 {
        match self {
            Self::Byte(value) => i64::from(*value),
            Self::Short(value) => i64::from(*value),
            Self::Integer(value) => i64::from(*value),
            Self::Long(value) => *value,
            Self::Float(value) => *value as i64,
            Self::Double(value) => *value as i64,
            Self::BigInteger(value) => low_bits(value),
            Self::BigDecimal(value) => low_bits(&value.whole()),
        }
    }

    /// Java's `intValue`.
    #[expect(clippy::cast_possible_truncation, reason = "Java's narrowing")]
    pub(super) fn to_int(&self) -> i32 {
        match self {
            Self::Float(value) => *value as i32,
            Self::Double(value) => *value as i32,
            _ => self.to_long() as i32,
        }
    }

    /// Java's `doubleValue`.
    #[expect(clippy::cast_precision_loss, reason = "Java's rounding")]
    pub(super) fn to_double(&self) -> f64 {
        match self {
            Self::Byte(value) => f64::from(*value),
            Self::Short(value) => f64::from(*value),
            Self::Integer(value) => f64::from(*value),
            Self::Long(value) => *value as f64,
            Self::Float(value) => f64::from(*value),
            Self::Double(value) => *value,
            Self::BigInteger(value) => value.to_string().parse().unwrap_or(f64::NAN),
            Self::BigDecimal(value) => value.to_string().parse().unwrap_or(f64::NAN),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "Java's rounding")]
    #[expect(clippy::cast_precision_loss, reason = "Java's rounding")]
    pub(super) fn to_float(&self) -> f32 {
        match self {
            Self::Float(value) => *value,
            Self::Byte(_) | Self::Short(_) | Self::Integer(_) | Self::Long(_) => {
                self.to_long() as f32
            }
            _ => self.to_double() as f32,
        }
    }

    pub(super) fn to_big_integer(&self) -> BigInt {
        match self {
            Self::BigInteger(value) => (**value).clone(),
            Self::BigDecimal(value) => value.whole(),
            _ => BigInt::from(self.to_long()),
        }
    }

    /// Exactly, so that `0.1` has fifty-five digits, as in Java.
    pub(super) fn to_decimal(&self) -> Option<Decimal> {
        Some(match self {
            Self::BigDecimal(value) => (**value).clone(),
            Self::BigInteger(value) => Decimal {
                unscaled: (**value).clone(),
                scale: 0,
            },
            _ => Decimal::from_double(self.to_double())?,
        })
    }

    /// `left operator right`.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub(super) fn calculate(
        operator: Operator,
        left: &Self,
        right: &Self,
    ) -> Result<Self, Failure> {
        if matches!(operator, Operator::Divide | Operator::Modulo) && right.is_zero() {
            return Err(Failure::Null);
        }
        match Base::of(left, right) {
            Base::Long => long_result(operator, left, right),
            Base::BigInteger => {
                big_result(operator, &left.to_big_integer(), &right.to_big_integer())
            }
            Base::Float => {
                let (a, b) = (left.to_float(), right.to_float());
                Ok(Self::Float(match operator {
                    Operator::Add => a + b,
                    Operator::Subtract => a - b,
                    Operator::Multiply => a * b,
                    Operator::Divide => a / b,
                    Operator::Modulo => a % b,
                }))
            }
            Base::Double => {
                let (a, b) = (left.to_double(), right.to_double());
                Ok(Self::Double(match operator {
                    Operator::Add => a + b,
                    Operator::Subtract => a - b,
                    Operator::Multiply => a * b,
                    Operator::Divide => a / b,
                    Operator::Modulo => a % b,
                }))
            }
            Base::BigDecimal => {
                let a = left.to_decimal().ok_or(Failure::Thrown)?;
                let b = right.to_decimal().ok_or(Failure::Thrown)?;
                let result = match operator {
                    Operator::Add => a.add(&b),
                    Operator::Subtract => a.add(&b.negated()),
                    Operator::Multiply => a.multiply(&b),
                    Operator::Divide => a.divide(&b),
                    // "Cannot calculate the modulo of BigDecimals."
                    Operator::Modulo => None,
                };
                result
                    .map(|value| Self::BigDecimal(Rc::new(value)))
                    .ok_or(Failure::Thrown)
            }
        }
    }

    /// How Velocity orders two numbers of whatever types; a `NaN` equals all.
    pub(super) fn compare(left: &Self, right: &Self) -> Ordering {
        match Base::of(left, right) {
            Base::Long => left.to_long().cmp(&right.to_long()),
            Base::BigInteger => left.to_big_integer().cmp(&right.to_big_integer()),
            Base::Float => left
                .to_float()
                .partial_cmp(&right.to_float())
                .unwrap_or(Ordering::Equal),
            Base::Double => left
                .to_double()
                .partial_cmp(&right.to_double())
                .unwrap_or(Ordering::Equal),
            Base::BigDecimal => match (left.to_decimal(), right.to_decimal()) {
                (Some(a), Some(b)) => a.compare(&b),
                _ => Ordering::Equal,
            },
        }
    }

    /// Java's `equals`: the same type and the same value.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Byte(a), Self::Byte(b)) => a == b,
            (Self::Short(a), Self::Short(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Long(a), Self::Long(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::BigInteger(a), Self::BigInteger(b)) => a == b,
            (Self::BigDecimal(a), Self::BigDecimal(b)) => a == b,
            _ => false,
        }
    }

    /// Java's `hashCode`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "Java's hash folds the halves"
    )]
    #[expect(clippy::cast_possible_wrap, reason = "Java's hash is signed")]
    pub(super) fn hash_code(&self) -> i32 {
        let fold = |bits: u64| (bits ^ (bits >> 32)) as u32 as i32;
        match self {
            Self::Byte(_) | Self::Short(_) | Self::Integer(_) => self.to_int(),
            Self::Long(value) => fold(*value as u64),
            Self::Float(value) => value.to_bits() as i32,
            Self::Double(value) => fold(value.to_bits()),
            Self::BigInteger(value) => big_hash(value),
            Self::BigDecimal(value) => big_hash(&value.unscaled)
                .wrapping_mul(31)
                .wrapping_add(value.scale as i32),
        }
    }

    /// Writes the number as Java's `toString`.
    pub(super) fn write(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Byte(value) => write!(out, "{value}"),
            Self::Short(value) => write!(out, "{value}"),
            Self::Integer(value) => {
                write_integer(out, i64::from(*value));
                Ok(())
            }
            Self::Long(value) => {
                write_integer(out, *value);
                Ok(())
            }
            Self::Float(value) => {
                write_float(out, &format!("{value:e}"), value.is_finite());
                Ok(())
            }
            Self::Double(value) => {
                write_double(out, *value);
                Ok(())
            }
            Self::BigInteger(value) => write!(out, "{value}"),
            Self::BigDecimal(value) => write!(out, "{value}"),
        };
    }
}

/// In which type two numbers are calculated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Long,
    Float,
    Double,
    BigInteger,
    BigDecimal,
}

impl Base {
    fn of(left: &Number, right: &Number) -> Self {
        let big = |number: &Number| matches!(number, Number::BigInteger(_));
        let decimal = |number: &Number| matches!(number, Number::BigDecimal(_));
        let double = |number: &Number| matches!(number, Number::Double(_));
        let integers = left.is_integer() && right.is_integer();
        let any_big = big(left) || big(right);
        if decimal(left) || decimal(right) || (!integers && any_big) {
            Self::BigDecimal
        } else if integers && any_big {
            Self::BigInteger
        } else if integers {
            Self::Long
        } else if double(left) || double(right) {
            Self::Double
        } else {
            Self::Float
        }
    }
}

fn low_bits(value: &BigInt) -> i64 {
    let modulus = value & BigInt::from(u64::MAX);
    #[expect(clippy::cast_possible_wrap, reason = "two's complement")]
    let low = u64::try_from(&modulus).map_or(0, |low| low as i64);
    low
}

fn big_hash(value: &BigInt) -> i32 {
    let (sign, digits) = value.to_u32_digits();
    let mut hash = 0_i32;
    for digit in digits.iter().rev() {
        #[expect(clippy::cast_possible_wrap, reason = "Java's hash is signed")]
        let digit = *digit as i32;
        hash = hash.wrapping_mul(31).wrapping_add(digit);
    }
    match sign {
        Sign::Minus => hash.wrapping_neg(),
        Sign::NoSign => 0,
        Sign::Plus => hash,
    }
}

fn long_result(operator: Operator, left: &Number, right: &Number) -> Result<Number, Failure> {
    let (a, b) = (left.to_long(), right.to_long());
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => Some(a.wrapping_div(b)),
        Operator::Modulo => Some(a.wrapping_rem(b)),
    };
    let Some(result) = result else {
        return big_result(operator, &BigInt::from(a), &BigInt::from(b));
    };
    let size = |number: &Number| match number {
        Number::Byte(_) => 0,
        Number::Short(_) => 1,
        Number::Integer(_) => 2,
        _ => 3,
    };
    Ok(match size(left).max(size(right)) {
        0 if i8::try_from(result).is_ok() => Number::Byte(i8::try_from(result).unwrap_or(0)),
        0 | 1 if i16::try_from(result).is_ok() => Number::Short(i16::try_from(result).unwrap_or(0)),
        0..=2 => i32::try_from(result).map_or(Number::Long(result), Number::Integer),
        _ => Number::Long(result),
    })
}

fn big_result(operator: Operator, a: &BigInt, b: &BigInt) -> Result<Number, Failure> {
    if operator == Operator::Multiply && a.bits() + b.bits() > BIT_LIMIT {
        return Err(Failure::Thrown);
    }
    Ok(Number::BigInteger(Rc::new(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Modulo => {
            // BigInteger.mod: never negative, and no negative modulus.
            if b.sign() == Sign::Minus {
                return Err(Failure::Thrown);
            }
            let rest = a % b;
            if rest.sign() == Sign::Minus {
                rest + b
            } else {
                rest
            }
        }
    })))
}

fn power_of_ten(exponent: i64) -> Option<BigInt> {
    let exponent = u32::try_from(exponent).ok()?;
    (u64::from(exponent) * 4 <= BIT_LIMIT).then(|| BigInt::from(10).pow(exponent))
}

impl Decimal {
    /// Reads digits with a point and an exponent, as `new BigDecimal(text)`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (digits, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if digits.len() > 10_000 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let joined = format!("{whole}{fraction}");
        Some(Self {
            unscaled: joined.parse().ok()?,
            scale: i64::try_from(fraction.len()).ok()? - i64::from(exponent),
        })
    }

    fn from_double(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let exponent = i64::try_from((bits >> 52) & 0x7ff).ok()?;
        let fraction = bits & ((1 << 52) - 1);
        let (mut mantissa, mut power) = if exponent == 0 {
            (fraction, -1074)
        } else {
            (fraction | (1 << 52), exponent - 1075)
        };
        if mantissa == 0 {
            return Some(Self {
                unscaled: BigInt::from(0),
                scale: 0,
            });
        }
        while mantissa & 1 == 0 {
            mantissa >>= 1;
            power += 1;
        }
        let mut unscaled = BigInt::from(mantissa);
        let mut scale = 0;
        if power > 0 {
            unscaled <<= power;
        } else if power < 0 {
            // m * 2^-p is m * 5^p * 10^-p.
            unscaled *= BigInt::from(5).pow(u32::try_from(-power).ok()?);
            scale = -power;
        }
        if value.is_sign_negative() {
            unscaled = -unscaled;
        }
        Some(Self { unscaled, scale })
    }

    fn whole(&self) -> BigInt {
        if self.scale <= 0 {
            match power_of_ten(-self.scale) {
                Some(factor) => &self.unscaled * factor,
                None => BigInt::from(0),
            }
        } else {
            match power_of_ten(self.scale) {
                Some(divisor) => &self.unscaled / divisor,
                None => BigInt::from(0),
            }
        }
    }

    fn negated(&self) -> Self {
        Self {
            unscaled: -&self.unscaled,
            scale: self.scale,
        }
    }

    fn rescaled(&self, scale: i64) -> Option<BigInt> {
        Some(&self.unscaled * power_of_ten(scale - self.scale)?)
    }

    fn add(&self, other: &Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        Some(Self {
            unscaled: self.rescaled(scale)? + other.rescaled(scale)?,
            scale,
        })
    }

    fn multiply(&self, other: &Self) -> Option<Self> {
        if self.unscaled.bits() + other.unscaled.bits() > BIT_LIMIT {
            return None;
        }
        Some(Self {
            unscaled: &self.unscaled * &other.unscaled,
            scale: self.scale + other.scale,
        })
    }

    /// With the left side's scale, rounded half down.
    fn divide(&self, other: &Self) -> Option<Self> {
        // (a / 10^s) / (b / 10^t) at scale s is a * 10^t / b.
        let (numerator, denominator) = if other.scale >= 0 {
            (
                &self.unscaled * power_of_ten(other.scale)?,
                other.unscaled.clone(),
            )
        } else {
            (
                self.unscaled.clone(),
                &other.unscaled * power_of_ten(-other.scale)?,
            )
        };
        if denominator.sign() == Sign::NoSign {
            return None;
        }
        let mut quotient = &numerator / &denominator;
        let rest = &numerator % &denominator;
        let doubled: BigInt = rest.magnitude().clone().into();
        let size: BigInt = denominator.magnitude().clone().into();
        if doubled * 2 > size {
            let away = if (numerator.sign() == Sign::Minus) == (denominator.sign() == Sign::Minus) {
                1
            } else {
                -1
            };
            quotient += away;
        }
        Some(Self {
            unscaled: quotient,
            scale: self.scale,
        })
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.rescaled(scale), other.rescaled(scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // Exponents too far apart to write out: the signs and sizes tell.
            _ => {
                let sign = |value: &Self| value.unscaled.sign();
                sign(self).cmp(&sign(other)).then_with(|| {
                    let larger = self.scale.cmp(&other.scale).reverse();
                    if sign(self) == Sign::Minus {
                        larger.reverse()
                    } else {
                        larger
                    }
                })
            }
        }
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let negative = self.unscaled.sign() == Sign::Minus;
        let digits = self.unscaled.magnitude().to_string();
        if negative {
            f.write_str("-")?;
        }
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let adjusted = length - 1 - self.scale;
        if self.scale == 0 {
            return f.write_str(&digits);
        }
        if self.scale > 0 && adjusted >= -6 {
            let point = length - self.scale;
            return if point > 0 {
                let point = usize::try_from(point).unwrap_or(0);
                write!(f, "{}.{}", &digits[..point], &digits[point..])
            } else {
                let zeros = usize::try_from(-point).unwrap_or(0);
                write!(f, "0.{}{digits}", "0".repeat(zeros))
            };
        }
        f.write_str(&digits[..1])?;
        if digits.len() > 1 {
            write!(f, ".{}", &digits[1..])?;
        }
        if adjusted != 0 {
            write!(f, "E{adjusted:+}")?;
        }
        Ok(())
    }
}

/// Writes a whole number without the formatting machinery.
fn write_integer(out: &mut String, value: i64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push('-');
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or("0"));
}

/// Writes a double as Java's `Double.toString`.
pub(super) fn write_double(out: &mut String, value: f64) {
    let size = value.abs();
    if !(1e-3..1e7).contains(&size) {
        let text = format!("{value:e}");
        let text = even_digits(value, &text).unwrap_or(text);
        write_float(out, &text, value.is_finite());
        return;
    }
    let start = out.len();
    // Java and Rust agree here, but for the point of a whole number.
    let _ = write!(out, "{value}");
    if value.fract() == 0.0 {
        out.push_str(".0");
    } else if out.len() - start > 15
        && let Some(text) = even_digits(value, &format!("{value:e}"))
    {
        out.truncate(start);
        write_float(out, &text, true);
    }
}

/// Where two shortest texts are equally near, Java takes the one that ends in
/// an even digit; `scientific` is Rust's choice.
fn even_digits(value: f64, scientific: &str) -> Option<String> {
    let (mantissa, exponent) = scientific.split_once('e')?;
    let last = mantissa.bytes().last()?;
    // With fewer digits there are no two that read back as the same number.
    if mantissa.len() < 15 || last.is_multiple_of(2) {
        return None;
    }
    let lower = format!(
        "{}{}",
        &mantissa[..mantissa.len() - 1],
        char::from(last - 1)
    );
    let middle = Decimal::parse(&format!("{lower}5e{exponent}"))?;
    let exact = Decimal::from_double(value)?;
    middle
        .compare(&exact)
        .is_eq()
        .then(|| format!("{lower}e{exponent}"))
}

/// `scientific` is the shortest text of the number as `d.ddde±x`.
fn write_float(out: &mut String, scientific: &str, finite: bool) {
    if !finite {
        out.push_str(match scientific {
            "inf" => "Infinity",
            "-inf" => "-Infinity",
            _ => "NaN",
        });
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            out.push('-');
            rest
        }
        None => mantissa,
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if digits == "0" {
        out.push_str("0.0");
        return;
    }
    if (-3..7).contains(&exponent) {
        if exponent < 0 {
            out.push_str("0.");
            for _ in 0..(-exponent - 1) {
                out.push('0');
            }
            out.push_str(&digits);
            return;
        }
        let whole = usize::try_from(exponent).unwrap_or(0) + 1;
        if digits.len() <= whole {
            out.push_str(&digits);
            for _ in digits.len()..whole {
                out.push('0');
            }
            out.push_str(".0");
        } else {
            out.push_str(&digits[..whole]);
            out.push('.');
            out.push_str(&digits[whole..]);
        }
        return;
    }
    out.push_str(&digits[..1]);
    out.push('.');
    out.push_str(if digits.len() > 1 { &digits[1..] } else { "0" });
    let _ = write!(out, "E{exponent}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: &Number) -> String {
        let mut out = String::new();
        number.write(&mut out);
        out
    }

    #[test]
    fn doubles_print_as_java_prints_them() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.001, "0.001"),
            (0.000_1, "1.0E-4"),
            (1e7, "1.0E7"),
            (1_234_567.5, "1234567.5"),
            // Halfway between two texts of sixteen digits.
            (92_233_720_368_549.0 + 0.125, "9.223372036854912E13"),
            (-0.0, "-0.0"),
            (1e21, "1.0E21"),
        ] {
            assert_eq!(text(&Number::Double(value)), expected);
        }
    }

    #[test]
    fn a_sum_too_large_for_its_type_takes_the_next_one() {
        let sum = |a, b| Number::calculate(Operator::Add, &a, &b).map(|n| text(&n));

        assert_eq!(
            sum(Number::Integer(i32::MAX), Number::Integer(1)),
            Ok("2147483648".to_owned())
        );
        assert_eq!(
            sum(Number::Long(i64::MAX), Number::Integer(1)),
            Ok("9223372036854775808".to_owned())
        );
    }

    #[test]
    fn decimals_print_plainly_down_to_a_millionth() {
        for (given, expected) in [
            ("1.50", "1.50"),
            ("0.0000001", "1E-7"),
            ("1E+3", "1E+3"),
            ("-12.5e1", "-125"),
        ] {
            assert_eq!(Decimal::parse(given).unwrap().to_string(), expected);
        }
    }
}
