//! Conditions of policy statements.
//!
//! Source: IAM user guide, "IAM JSON policy elements: Condition operators".

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value as Json;

use super::pattern::{Pattern, Variables};

/// One operator, key and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    key: String,
    test: Test,
    negated: bool,
    if_exists: bool,
    quantifier: Option<Quantifier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    All,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// Patterns, and whether letter case counts.
    Text(Vec<Pattern>, bool),
    /// Patterns for the six parts of an ARN.
    Arn(Vec<Vec<Pattern>>),
    Number(Vec<f64>, Order),
    /// Seconds since 1970.
    Date(Vec<f64>, Order),
    Bool(Vec<bool>),
    Address(Vec<IpNet>),
    /// Whether the key must be absent.
    Null(Vec<bool>),
}

impl Condition {
    /// Reads the `Condition` of a statement.
    ///
    /// # Errors
    ///
    /// What is not understood: a condition that is passed over would allow or
    /// deny something else than what was written.
    pub fn read_all(json: &Json, variables: bool) -> Result<Vec<Self>, String> {
        let Json::Object(operators) = json else {
            return Err("`Condition` is no object".to_owned());
        };
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let Json::Object(keys) = keys else {
                return Err(format!("`Condition.{operator}` is no object"));
            };
            for (key, values) in keys {
                conditions.push(Self::read(operator, key, values, variables)?);
            }
        }
        Ok(conditions)
    }

    fn read(operator: &str, key: &str, values: &Json, variables: bool) -> Result<Self, String> {
        let (quantifier, name) = match operator.split_once(':') {
            None => (None, operator),
            Some((word, rest)) if word.eq_ignore_ascii_case("ForAllValues") => {
                (Some(Quantifier::All), rest)
            }
            Some((word, rest)) if word.eq_ignore_ascii_case("ForAnyValue") => {
                (Some(Quantifier::Any), rest)
            }
            Some(_) => return Err(format!("`{operator}` is no condition operator")),
        };
        let lower = name.to_ascii_lowercase();
        let (lower, if_exists) = match lower.strip_suffix("ifexists") {
            Some(rest) => (rest.to_owned(), true),
            None => (lower, false),
        };
        let texts = texts(values).ok_or_else(|| format!("the values of `{key}` are no text"))?;
        let wrong = |text: &str| format!("`{text}` is no value for `{operator}`");
        let numbers = || -> Result<Vec<f64>, String> {
            texts
                .iter()
                .map(|text| number(text).ok_or_else(|| wrong(text)))
                .collect()
        };
        let dates = || -> Result<Vec<f64>, String> {
            texts
                .iter()
                .map(|text| date(text).ok_or_else(|| wrong(text)))
                .collect()
        };
        let flags = || -> Result<Vec<bool>, String> {
            texts
                .iter()
                .map(|text| flag(text).ok_or_else(|| wrong(text)))
                .collect()
        };
        let addresses = || -> Result<Vec<IpNet>, String> {
            texts
                .iter()
                .map(|text| network(text).ok_or_else(|| wrong(text)))
                .collect()
        };
        let exact = || texts.iter().map(|text| Pattern::exact(text, variables));
        let folded = || {
            texts
                .iter()
                .map(|text| Pattern::exact(&text.to_lowercase(), variables))
        };
        let like = || texts.iter().map(|text| Pattern::wildcard(text, variables));
        let arns = || -> Result<Vec<Vec<Pattern>>, String> {
            texts
                .iter()
                .map(|text| {
                    let parts: Vec<Pattern> = text
                        .splitn(6, ':')
                        .map(|part| Pattern::wildcard(part, variables))
                        .collect();
                    match parts.len() {
                        6 => Ok(parts),
                        // A lone `*` is written for any ARN.
                        _ if *text == "*" => Ok(vec![Pattern::wildcard("*", false); 6]),
                        _ => Err(wrong(text)),
                    }
                })
                .collect()
        };
        let (test, negated) = match lower.as_str() {
            "stringequals" => (Test::Text(exact().collect(), true), false),
            "stringnotequals" => (Test::Text(exact().collect(), true), true),
            "stringequalsignorecase" => (Test::Text(folded().collect(), false), false),
            "stringnotequalsignorecase" => (Test::Text(folded().collect(), false), true),
            "stringlike" => (Test::Text(like().collect(), true), false),
            "stringnotlike" => (Test::Text(like().collect(), true), true),
            "arnequals" | "arnlike" => (Test::Arn(arns()?), false),
            "arnnotequals" | "arnnotlike" => (Test::Arn(arns()?), true),
            "numericequals" => (Test::Number(numbers()?, Order::Equal), false),
            "numericnotequals" => (Test::Number(numbers()?, Order::Equal), true),
            "numericlessthan" => (Test::Number(numbers()?, Order::Less), false),
            "numericlessthanequals" => (Test::Number(numbers()?, Order::LessOrEqual), false),
            "numericgreaterthan" => (Test::Number(numbers()?, Order::Greater), false),
            "numericgreaterthanequals" => (Test::Number(numbers()?, Order::GreaterOrEqual), false),
            "dateequals" => (Test::Date(dates()?, Order::Equal), false),
            "datenotequals" => (Test::Date(dates()?, Order::Equal), true),
            "datelessthan" => (Test::Date(dates()?, Order::Less), false),
            "datelessthanequals" => (Test::Date(dates()?, Order::LessOrEqual), false),
            "dategreaterthan" => (Test::Date(dates()?, Order::Greater), false),
            "dategreaterthanequals" => (Test::Date(dates()?, Order::GreaterOrEqual), false),
            "bool" => (Test::Bool(flags()?), false),
            "ipaddress" => (Test::Address(addresses()?), false),
            "notipaddress" => (Test::Address(addresses()?), true),
            "null" => (Test::Null(flags()?), false),
            _ => return Err(format!("`{operator}` is no condition operator")),
        };
        Ok(Self {
            key: key.to_ascii_lowercase(),
            test,
            negated,
            if_exists,
            quantifier,
        })
    }

    /// Whether it holds. `variables` gives the request's value of a key, by its
    /// lower-case name.
    pub fn holds(&self, variables: Variables<'_>) -> bool {
        let value = variables(&self.key);
        if let Test::Null(absent) = &self.test {
            return absent.contains(&value.is_none());
        }
        match value {
            Some(value) => self.test.fits(&value, variables) != self.negated,
            None => match self.quantifier {
                // Nothing is in the empty set, and all of it is anything.
                Some(Quantifier::All) => true,
                Some(Quantifier::Any) => false,
                None => self.if_exists || self.negated,
            },
        }
    }
}

impl Test {
    fn fits(&self, value: &str, variables: Variables<'_>) -> bool {
        match self {
            Self::Text(patterns, true) => patterns
                .iter()
                .any(|pattern| pattern.matches(value, variables)),
            Self::Text(patterns, false) => {
                let value = value.to_lowercase();
                let lower = |name: &str| -> Option<Cow<'_, str>> {
                    variables(name).map(|value| value.to_lowercase().into())
                };
                patterns
                    .iter()
                    .any(|pattern| pattern.matches(&value, &lower))
            }
            Self::Arn(arns) => {
                let parts: Vec<&str> = value.splitn(6, ':').collect();
                parts.len() == 6
                    && arns.iter().any(|arn| {
                        arn.iter()
                            .zip(&parts)
                            .all(|(pattern, part)| pattern.matches(part, variables))
                    })
            }
            Self::Number(numbers, order) => {
                number(value).is_some_and(|value| order.holds_for_any(value, numbers))
            }
            Self::Date(dates, order) => {
                date(value).is_some_and(|value| order.holds_for_any(value, dates))
            }
            Self::Bool(flags) => flag(value).is_some_and(|value| flags.contains(&value)),
            Self::Address(networks) => value
                .parse::<IpAddr>()
                .is_ok_and(|address| networks.iter().any(|network| network.contains(&address))),
            Self::Null(_) => false,
        }
    }
}

impl Order {
    fn holds_for_any(self, value: f64, others: &[f64]) -> bool {
        others.iter().any(|other| match self {
            Self::Equal => value == *other,
            Self::Less => value < *other,
            Self::LessOrEqual => value <= *other,
            Self::Greater => value > *other,
            Self::GreaterOrEqual => value >= *other,
        })
    }
}

/// A value or a list of values as text.
pub(super) fn texts(json: &Json) -> Option<Vec<Cow<'_, str>>> {
    let one = |json: &'_ Json| -> Option<String> {
        match json {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            Json::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    };
    match json {
        Json::Array(items) => items.iter().map(|item| one(item).map(Cow::Owned)).collect(),
        json => Some(vec![Cow::Owned(one(json)?)]),
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// ISO 8601, or seconds since 1970.
fn date(text: &str) -> Option<f64> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_second() as f64);
    }
    let day: jiff::civil::Date = text.parse().ok()?;
    let time = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(time.timestamp().as_second() as f64)
}

fn flag(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A network, or one address.
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(condition: Json) -> bool {
        let conditions = Condition::read_all(&condition, true).unwrap();
        conditions.iter().all(|condition| {
            condition.holds(&|key| {
                let value = match key {
                    "aws:sourceip" => "203.0.113.7",
                    "aws:useragent" => "curl/8",
                    "aws:securetransport" => "false",
                    "aws:currenttime" => "2026-11-24T05:00:00Z",
                    "aws:epochtime" => "1795496400",
                    "aws:principalarn" => "arn:aws:iam::123456789012:user/alice",
                    "aws:username" => "alice",
                    _ => return None,
                };
                Some(value.into())
            })
        })
    }

    #[test]
    fn each_operator_and_its_negation() {
        for (condition, expected) in [
            (
                json!({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}),
                true,
            ),
            (
                json!({"IpAddress": {"AWS:sourceIP": ["10.0.0.0/8", "203.0.113.7"]}}),
                true,
            ),
            (json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), false),
            (
                json!({"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}}),
                true,
            ),
            (
                json!({"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "203.0.113.0/24"]}}),
                false,
            ),
            (json!({"StringEquals": {"aws:UserAgent": "curl/8"}}), true),
            (json!({"StringEquals": {"aws:UserAgent": "CURL/8"}}), false),
            (
                json!({"StringEqualsIgnoreCase": {"aws:UserAgent": "CURL/8"}}),
                true,
            ),
            (
                json!({"StringNotEqualsIgnoreCase": {"aws:UserAgent": "CURL/8"}}),
                false,
            ),
            (json!({"StringEquals": {"aws:UserAgent": "curl*"}}), false),
            (json!({"StringLike": {"aws:UserAgent": "curl*"}}), true),
            (json!({"StringNotLike": {"aws:UserAgent": "curl*"}}), false),
            (
                json!({"StringNotEquals": {"aws:UserAgent": ["a", "b"]}}),
                true,
            ),
            (json!({"Bool": {"aws:SecureTransport": false}}), true),
            (json!({"Bool": {"aws:SecureTransport": "true"}}), false),
            (
                json!({"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}),
                true,
            ),
            (
                json!({"DateLessThan": {"aws:CurrentTime": "2026-01-01"}}),
                false,
            ),
            (
                json!({"NumericLessThanEquals": {"aws:EpochTime": 1_795_496_400}}),
                true,
            ),
            (json!({"DateEquals": {"aws:EpochTime": "1795496400"}}), true),
            (
                json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}),
                true,
            ),
            (
                json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*"}}),
                true,
            ),
            (
                json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/alice"}}),
                false,
            ),
            (
                json!({"StringEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/${aws:username}"}}),
                true,
            ),
        ] {
            // A pattern of fewer than six parts is no ARN.
            if condition.to_string().contains("iam::*\"") {
                assert!(Condition::read_all(&condition, true).is_err());
                continue;
            }
            assert_eq!(holds(condition.clone()), expected, "{condition}");
        }
    }

    #[test]
    fn a_key_that_the_request_lacks() {
        for (condition, expected) in [
            (json!({"StringEquals": {"aws:SourceVpc": "vpc-1"}}), false),
            (json!({"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}), true),
            (
                json!({"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}),
                true,
            ),
            (json!({"Null": {"aws:SourceVpc": "true"}}), true),
            (json!({"Null": {"aws:SourceVpc": false}}), false),
            (json!({"Null": {"aws:SourceIp": "true"}}), false),
            (
                json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}),
                true,
            ),
            (
                json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}),
                false,
            ),
            (
                json!({"StringEquals": {"aws:UserAgent": "${aws:missing}"}}),
                false,
            ),
        ] {
            assert_eq!(holds(condition.clone()), expected, "{condition}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for condition in [
            json!([]),
            json!({"StringSortOf": {"a": "b"}}),
            json!({"For:StringEquals": {"a": "b"}}),
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}),
            json!({"IpAddress": {"aws:SourceIp": "everywhere"}}),
            json!({"Bool": {"a": "yes"}}),
            json!({"NumericEquals": {"a": "one"}}),
            json!({"DateEquals": {"a": "yesterday"}}),
            json!({"StringEquals": {"a": {"b": 1}}}),
            json!({"StringEquals": "a"}),
            json!({"BinaryEquals": {"a": "eA=="}}),
        ] {
            assert!(
                Condition::read_all(&condition, true).is_err(),
                "{condition}"
            );
        }
    }
}
