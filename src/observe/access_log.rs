//! An access log's format: text with `$context` variables, read once.
//!
//! Source: API Gateway developer guide, "Set up CloudWatch logging for REST APIs
//! in API Gateway", "Configure logging for HTTP APIs in API Gateway" and
//! "Variables for access logging for API Gateway".

use crate::model::ApiKind;

/// The longest format in bytes ("Amazon API Gateway quotas").
pub const LONGEST: usize = 3 * 1024;

/// A format, ready for requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// In their order.
    pub pieces: Vec<Piece>,
    /// How values are written into it.
    pub escape: Escape,
}

/// A piece of a [`Format`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(Box<str>),
    /// A variable's name without `$context.`.
    Variable(Variable),
}

/// Which variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `status`: what the client got.
    Status,
    /// `responseLength` and `dataProcessed`: bytes of the body that went out.
    ResponseLength,
    /// `responseLatency`: milliseconds to the last byte.
    ResponseLatency,
    /// `integrationLatency`, `integration.latency`: milliseconds.
    IntegrationLatency,
    /// `integrationStatus`, `integration.integrationStatus`: of the call; Lambda's own status.
    CallStatus,
    /// `integration.status`: the backend's, or what a Lambda proxy function returned.
    BackendStatus,
    /// `integration.error`, `integrationErrorMessage`.
    IntegrationError,
    /// `error.message`.
    ErrorMessage,
    /// `error.messageString`: JSON text already.
    ErrorMessageString,
    /// `error.responseType`.
    ErrorType,
    /// `error.validationErrorString`.
    ValidationError,
    /// Every other one, by name.
    Named(Box<str>),
}

/// How a value stands in a line. A value never breaks a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// The format is JSON.
    Json,
    /// The format is XML.
    Xml,
    /// Anything else: control characters, `"` and `\` are escaped as in JSON.
    Plain,
}

/// What AWS refuses in a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A line feed within.
    #[error("the format of an access log stands on one line")]
    SeveralLines,
    /// Nothing tells which request a line is of.
    #[error("the format of an access log has $context.requestId or $context.extendedRequestId")]
    NoRequestId,
    /// More than [`LONGEST`] bytes.
    #[error("the format of an access log has {0} bytes; the limit is {LONGEST}")]
    TooLong(usize),
}

/// AWS's formats by the names that its console gives them.
pub fn preset(name: &str, kind: ApiKind) -> Option<&'static str> {
    let (rest, http) = match name.to_ascii_uppercase().as_str() {
        "CLF" => (
            r#"$context.identity.sourceIp $context.identity.caller $context.identity.user [$context.requestTime] "$context.httpMethod $context.resourcePath $context.protocol" $context.status $context.responseLength $context.requestId $context.extendedRequestId"#,
            r#"$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.routeKey $context.protocol" $context.status $context.responseLength $context.requestId"#,
        ),
        "JSON" => (
            r#"{"requestId":"$context.requestId","extendedRequestId":"$context.extendedRequestId","ip":"$context.identity.sourceIp","caller":"$context.identity.caller","user":"$context.identity.user","requestTime":"$context.requestTime","httpMethod":"$context.httpMethod","resourcePath":"$context.resourcePath","status":"$context.status","protocol":"$context.protocol","responseLength":"$context.responseLength"}"#,
            r#"{"requestId":"$context.requestId","ip":"$context.identity.sourceIp","requestTime":"$context.requestTime","httpMethod":"$context.httpMethod","routeKey":"$context.routeKey","status":"$context.status","protocol":"$context.protocol","responseLength":"$context.responseLength"}"#,
        ),
        "CSV" => (
            "$context.identity.sourceIp,$context.identity.caller,$context.identity.user,$context.requestTime,$context.httpMethod,$context.resourcePath,$context.protocol,$context.status,$context.responseLength,$context.requestId,$context.extendedRequestId",
            "$context.identity.sourceIp,$context.requestTime,$context.httpMethod,$context.routeKey,$context.protocol,$context.status,$context.responseLength,$context.requestId",
        ),
        "XML" => (
            r#"<request id="$context.requestId"><extendedRequestId>$context.extendedRequestId</extendedRequestId><ip>$context.identity.sourceIp</ip><caller>$context.identity.caller</caller><user>$context.identity.user</user><requestTime>$context.requestTime</requestTime><httpMethod>$context.httpMethod</httpMethod><resourcePath>$context.resourcePath</resourcePath><status>$context.status</status><protocol>$context.protocol</protocol><responseLength>$context.responseLength</responseLength></request>"#,
            r#"<request id="$context.requestId"><ip>$context.identity.sourceIp</ip><requestTime>$context.requestTime</requestTime><httpMethod>$context.httpMethod</httpMethod><routeKey>$context.routeKey</routeKey><status>$context.status</status><protocol>$context.protocol</protocol><responseLength>$context.responseLength</responseLength></request>"#,
        ),
        _ => return None,
    };
    Some(match kind {
        ApiKind::Rest => rest,
        ApiKind::Http => http,
    })
}

impl Format {
    /// Reads a format, or the name of a [`preset`].
    ///
    /// # Errors
    ///
    /// What AWS refuses.
    pub fn read(text: &str, kind: ApiKind) -> Result<Self, FormatError> {
        // A block scalar of YAML ends with a line feed.
        let text = text.trim_end_matches(['\n', '\r']);
        let text = preset(text.trim(), kind).unwrap_or(text);
        if text.len() > LONGEST {
            return Err(FormatError::TooLong(text.len()));
        }
        if text.contains(['\n', '\r']) {
            return Err(FormatError::SeveralLines);
        }
        let pieces = pieces(text);
        let tells = |piece: &Piece| matches!(piece, Piece::Variable(Variable::Named(name)) if matches!(&**name, "requestId" | "extendedRequestId"));
        if !pieces.iter().any(tells) {
            return Err(FormatError::NoRequestId);
        }
        let escape = match text.trim_start().bytes().next() {
            Some(b'{') => Escape::Json,
            Some(b'<') => Escape::Xml,
            _ => Escape::Plain,
        };
        Ok(Self { pieces, escape })
    }

    /// The names in it that no API of this kind ever has a value for.
    pub fn unknown(&self) -> Vec<&str> {
        self.pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Variable(Variable::Named(name)) => Some(&**name),
                _ => None,
            })
            .filter(|name| !is_known(name))
            .collect()
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    const MARK: &str = "$context.";
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        plain.push_str(&rest[..at]);
        let after = &rest[at + MARK.len()..];
        let length = name_length(after);
        if length == 0 {
            plain.push_str(MARK);
        } else {
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
            }
            pieces.push(Piece::Variable(Variable::of(&after[..length])));
        }
        rest = &after[length..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain.into()));
    }
    pieces
}

/// How much of the text is a variable's name: `identity.sourceIp`, `authorizer.claims['a:b']`.
fn name_length(text: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    for quote in ["'", "\""] {
        let open = format!("[{quote}");
        let close = format!("{quote}]");
        if let Some(inner) = text[end..].strip_prefix(&open)
            && let Some(length) = inner.find(&close)
        {
            return end + open.len() + length + close.len();
        }
    }
    // A dot or dash at the end is the sentence's.
    text[..end].trim_end_matches(['.', '-', ':']).len()
}

impl Variable {
    fn of(name: &str) -> Self {
        match name {
            "status" => Self::Status,
            "responseLength" | "dataProcessed" => Self::ResponseLength,
            "responseLatency" => Self::ResponseLatency,
            "integrationLatency" | "integration.latency" => Self::IntegrationLatency,
            "integrationStatus" | "integration.integrationStatus" => Self::CallStatus,
            "integration.status" => Self::BackendStatus,
            "integration.error" | "integrationErrorMessage" => Self::IntegrationError,
            "error.message" => Self::ErrorMessage,
            "error.messageString" => Self::ErrorMessageString,
            "error.responseType" => Self::ErrorType,
            "error.validationErrorString" => Self::ValidationError,
            other => Self::Named(other.into()),
        }
    }
}

fn is_known(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "accountId",
        "apiId",
        "authenticate.error",
        "authenticate.latency",
        "authenticate.status",
        "authorize.error",
        "authorize.latency",
        "authorize.status",
        "awsEndpointRequestId",
        "awsEndpointRequestId2",
        "cipherSuite",
        "customDomain.basePathMatched",
        "customDomain.routingRuleIdMatched",
        "deploymentId",
        "domainName",
        "domainPrefix",
        "endpointType",
        "extendedRequestId",
        "httpMethod",
        "integration.requestId",
        "integration.responseTransferMode",
        "integration.timeToAllHeaders",
        "integration.timeToFirstContent",
        "isCanaryRequest",
        "path",
        "protocol",
        "requestId",
        "requestTime",
        "requestTimeEpoch",
        "resourceId",
        "resourcePath",
        "routeKey",
        "stage",
        "tlsVersion",
        "wafResponseCode",
        "webaclArn",
        "xrayTraceId",
    ];
    const FAMILIES: [&str; 5] = [
        "authorizer.",
        "identity.",
        "waf.",
        "requestOverride.",
        "responseOverride.",
    ];
    KNOWN.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// A line that waits for the end of its answer: written but for what only the end tells.
#[derive(Debug)]
pub struct Line {
    bytes: Vec<u8>,
    holes: Vec<(usize, Hole)>,
}

/// What only the end of an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// [`Variable::ResponseLength`].
    Length,
    /// [`Variable::ResponseLatency`].
    Latency,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: Vec::with_capacity(256),
            holes: Vec::new(),
        }
    }
}

impl Line {
    /// The format's own text.
    pub fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A variable's value; `-` where there is none.
    pub fn value(&mut self, value: Option<&str>, escape: Escape) {
        match value {
            None | Some("") => self.bytes.push(b'-'),
            Some(value) => self.escaped(value, escape),
        }
    }

    /// A place to be filled at the end.
    pub fn hole(&mut self, hole: Hole) {
        self.holes.push((self.bytes.len(), hole));
    }

    /// The whole line with its line feed.
    pub fn end(self, length: u64, latency: std::time::Duration) -> Vec<u8> {
        let Self { bytes, holes } = self;
        let mut line = match holes.is_empty() {
            true => bytes,
            false => {
                let mut line = Vec::with_capacity(bytes.len() + 16 * holes.len() + 1);
                let mut from = 0;
                for (at, hole) in holes {
                    line.extend_from_slice(&bytes[from..at]);
                    let number = match hole {
                        Hole::Length => u128::from(length),
                        Hole::Latency => latency.as_millis(),
                    };
                    line.extend_from_slice(number.to_string().as_bytes());
                    from = at;
                }
                line.extend_from_slice(&bytes[from..]);
                line
            }
        };
        line.push(b'\n');
        line
    }

    fn escaped(&mut self, value: &str, escape: Escape) {
        let special = |c: char| match escape {
            Escape::Json | Escape::Plain => c.is_control() || c == '"' || c == '\\',
            Escape::Xml => c.is_control() || matches!(c, '<' | '>' | '&' | '"'),
        };
        let mut rest = value;
        while let Some(at) = rest.find(special) {
            self.text(&rest[..at]);
            let mut left = rest[at..].chars();
            match (left.next().unwrap_or_default(), escape) {
                ('<', Escape::Xml) => self.text("&lt;"),
                ('>', Escape::Xml) => self.text("&gt;"),
                ('&', Escape::Xml) => self.text("&amp;"),
                ('"', Escape::Xml) => self.text("&quot;"),
                // XML 1.0 has most control characters in no form.
                (c, Escape::Xml) if !matches!(c, '\t' | '\n' | '\r') => self.text("\u{fffd}"),
                (c, Escape::Xml) => self.text(&format!("&#{};", u32::from(c))),
                ('"', _) => self.text("\\\""),
                ('\\', _) => self.text("\\\\"),
                ('\n', _) => self.text("\\n"),
                ('\r', _) => self.text("\\r"),
                ('\t', _) => self.text("\\t"),
                (c, _) => self.text(&format!("\\u{:04x}", u32::from(c))),
            }
            rest = left.as_str();
        }
        self.text(rest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        pieces(text)
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => format!("={text}"),
                Piece::Variable(Variable::Named(name)) => name.to_string(),
                Piece::Variable(other) => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn variables_are_found_between_the_text() {
        let format = r#"$context.identity.sourceIp - "$context.path" $context.status. $context.authorizer.claims['a:b'], $context.authorizer.x-$context. $input.x"#;
        assert_eq!(
            shown(format),
            [
                "identity.sourceIp",
                "= - \"",
                "path",
                "=\" ",
                "Status",
                "=. ",
                "authorizer.claims['a:b']",
                "=, ",
                "authorizer.x",
                "=-$context. $input.x",
            ]
        );
    }

    #[test]
    fn what_aws_refuses_is_refused() {
        let read = |text: &str| Format::read(text, ApiKind::Rest);

        assert_eq!(read("$context.status"), Err(FormatError::NoRequestId));
        assert_eq!(
            read("$context.requestId\n$context.status"),
            Err(FormatError::SeveralLines)
        );
        let long = format!("$context.requestId{}", "x".repeat(LONGEST));
        assert_eq!(read(&long), Err(FormatError::TooLong(long.len())));
        let odd = read("$context.requestId $context.stauts\n").unwrap();
        assert_eq!(odd.unknown(), ["stauts"]);
    }

    #[test]
    fn every_preset_is_a_format_of_known_variables() {
        for kind in [ApiKind::Rest, ApiKind::Http] {
            for (name, escape) in [
                ("CLF", Escape::Plain),
                ("json", Escape::Json),
                ("CSV", Escape::Plain),
                ("XML", Escape::Xml),
            ] {
                let format = Format::read(name, kind).unwrap();
                assert_eq!(format.escape, escape);
                assert!(format.unknown().is_empty());
            }
        }
    }

    #[test]
    fn a_value_cannot_break_a_line_or_its_form() {
        let write = |value, escape| {
            let mut line = Line::default();
            line.value(value, escape);
            String::from_utf8(line.end(0, Duration::ZERO)).unwrap()
        };

        assert_eq!(write(None, Escape::Json), "-\n");
        assert_eq!(write(Some(""), Escape::Json), "-\n");
        let evil = Some("a\"b\\c\nd\u{1b}<é");
        assert_eq!(write(evil, Escape::Json), "a\\\"b\\\\c\\nd\\u001b<é\n");
        assert_eq!(write(evil, Escape::Xml), "a&quot;b\\c&#10;d\u{fffd}&lt;é\n");
    }

    #[test]
    fn holes_are_filled_at_the_end() {
        let mut line = Line::default();
        line.text("l=");
        line.hole(Hole::Length);
        line.text(" t=");
        line.hole(Hole::Latency);

        let line = line.end(12, Duration::from_micros(3_900));

        assert_eq!(line, b"l=12 t=3\n");
    }

    proptest::proptest! {
        #[test]
        fn any_format_is_its_pieces(text in "(\\$context\\.|[a-z.$\\[\\]'\"é ]){0,30}") {
            let whole: usize = pieces(&text)
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.len(),
                    Piece::Variable(Variable::Named(name)) => "$context.".len() + name.len(),
                    Piece::Variable(_) => 0,
                })
                .sum();
            proptest::prop_assert!(whole <= text.len());
        }

        #[test]
        fn any_value_stays_in_its_string(value in ".*") {
            let mut line = Line::default();
            line.text("\"");
            line.value(Some(&value), Escape::Json);
            line.text("\"");
            let line = line.end(0, Duration::ZERO);
            proptest::prop_assert_eq!(memchr::memchr(b'\n', &line), Some(line.len() - 1));
            let read: String = serde_json::from_slice(&line).unwrap();
            let expected = if value.is_empty() { "-" } else { &value };
            proptest::prop_assert_eq!(read, expected);
        }
    }
}
