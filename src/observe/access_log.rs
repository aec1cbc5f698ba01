//! An access log's format: text with `$context` variables, read once.
//!
//! Source: API Gateway developer guide, "Set up CloudWatch logging for REST APIs
//! in API Gateway", "Configure logging for HTTP APIs in API Gateway" and
//! "Variables for access logging for API Gateway".

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::LogTime;
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
    /// `requestId`.
    RequestId,
    /// `extendedRequestId`.
    ExtendedRequestId,
    /// `requestTime`: `12/Mar/2020:19:03:58 +0000`.
    RequestTime,
    /// `requestTimeEpoch`: milliseconds.
    RequestTimeEpoch,
    /// `identity.sourceIp`.
    SourceIp,
    /// `httpMethod`.
    HttpMethod,
    /// `resourcePath`.
    ResourcePath,
    /// `protocol`.
    Protocol,
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
        let tells = |piece: &Piece| {
            matches!(
                piece,
                Piece::Variable(Variable::RequestId | Variable::ExtendedRequestId)
            )
        };
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
            "requestId" => Self::RequestId,
            "extendedRequestId" => Self::ExtendedRequestId,
            "requestTime" => Self::RequestTime,
            "requestTimeEpoch" => Self::RequestTimeEpoch,
            "identity.sourceIp" => Self::SourceIp,
            "httpMethod" => Self::HttpMethod,
            "resourcePath" => Self::ResourcePath,
            "protocol" => Self::Protocol,
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
        "integration.requestId",
        "integration.responseTransferMode",
        "integration.timeToAllHeaders",
        "integration.timeToFirstContent",
        "isCanaryRequest",
        "path",
        "resourceId",
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
///
/// Its memory comes from the thread's lines before, and goes back when it is dropped.
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

type Buffers = (Vec<u8>, Vec<(usize, Hole)>);

thread_local! {
    static SPARE: RefCell<Vec<Buffers>> = const { RefCell::new(Vec::new()) };
}

/// Most lines whose memory a thread keeps: as many as it may have under way at most times.
const MOST_SPARE: usize = 32;
/// A longer line's memory is given back.
const MOST_SPARE_BYTES: usize = 4096;

impl Default for Line {
    fn default() -> Self {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
        let (bytes, holes) = match spare {
            Ok(Some(buffers)) => buffers,
            // None is left, or the thread ends.
            Ok(None) | Err(_) => (Vec::with_capacity(512), Vec::new()),
        };
        Self { bytes, holes }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.bytes.capacity() > MOST_SPARE_BYTES || self.holes.capacity() > 64 {
            return;
        }
        self.bytes.clear();
        self.holes.clear();
        let buffers = (
            std::mem::take(&mut self.bytes),
            std::mem::take(&mut self.holes),
        );
        // A thread that ends keeps nothing.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST_SPARE {
                spare.push(buffers);
            }
        });
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
            Some(value) if needs_no_escape(value) => self.text(value),
            Some(value) => self.escaped(value, escape),
        }
    }

    /// A number; `-` where there is none.
    pub fn number(&mut self, number: Option<u64>) {
        match number {
            Some(number) => {
                let mut digits = [0; MOST_DIGITS];
                self.bytes.extend_from_slice(decimal(number, &mut digits));
            }
            None => self.bytes.push(b'-'),
        }
    }

    /// An address.
    pub fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                for (at, octet) in address.octets().into_iter().enumerate() {
                    if at > 0 {
                        self.bytes.push(b'.');
                    }
                    self.number(Some(octet.into()));
                }
            }
            IpAddr::V6(address) => self.text(&address.to_string()),
        }
    }

    /// A moment; `-` where it cannot be told.
    pub fn time(&mut self, time: Option<LogTime>) {
        match time {
            Some(time) => self.bytes.extend_from_slice(time.as_bytes()),
            None => self.bytes.push(b'-'),
        }
    }

    /// A place to be filled at the end.
    pub fn hole(&mut self, hole: Hole) {
        self.holes.push((self.bytes.len(), hole));
    }

    /// The whole line with its line feed. It is called once.
    pub fn end(&mut self, length: u64, latency: Duration) -> &[u8] {
        let mut digits = [0; MOST_DIGITS];
        // From the last, so that the places before keep.
        while let Some((at, hole)) = self.holes.pop() {
            let number = match hole {
                Hole::Length => length,
                Hole::Latency => u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            };
            let digits = decimal(number, &mut digits);
            let end = self.bytes.len();
            self.bytes.extend_from_slice(digits);
            self.bytes.copy_within(at..end, at + digits.len());
            self.bytes[at..at + digits.len()].copy_from_slice(digits);
        }
        self.bytes.push(b'\n');
        &self.bytes
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

/// Whether a value stands in any line as it is: letters, digits and most marks of ASCII.
fn needs_no_escape(value: &str) -> bool {
    // Without a branch, so that many bytes are looked at together.
    !value.bytes().fold(false, |odd, byte| {
        let is_mark = matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
        odd | is_mark | !(b' '..=b'~').contains(&byte)
    })
}

/// `u64::MAX` has as many.
const MOST_DIGITS: usize = 20;

fn decimal(mut number: u64, digits: &mut [u8; MOST_DIGITS]) -> &[u8] {
    let mut at = MOST_DIGITS;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
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
                "SourceIp",
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
            String::from_utf8(line.end(0, Duration::ZERO).to_vec()).unwrap()
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

        let written = line.end(12, Duration::from_micros(3_900));

        assert_eq!(written, b"l=12 t=3\n");
    }

    #[test]
    fn a_line_begins_empty_in_the_memory_of_another() {
        for length in [7, 123_456] {
            let mut line = Line::default();
            line.text("a=");
            line.hole(Hole::Length);
            line.text("; ");
            line.hole(Hole::Latency);
            line.hole(Hole::Length);

            let expected = format!("a={length}; 2{length}\n");
            assert_eq!(
                line.end(length, Duration::from_millis(2)),
                expected.as_bytes()
            );
        }
    }

    #[test]
    fn addresses_and_times_stand_as_everywhere() {
        let mut line = Line::default();
        line.address("127.0.10.255".parse().unwrap());
        line.text(" ");
        line.address("2001:db8::1".parse().unwrap());
        line.text(" ");
        line.time(LogTime::of(0));
        line.text(" ");
        line.time(None);

        let expected = "127.0.10.255 2001:db8::1 01/Jan/1970:00:00:00 +0000 -\n";
        assert_eq!(line.end(0, Duration::ZERO), expected.as_bytes());
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
        fn any_number_stands_as_it_is_printed(number: u64) {
            let mut line = Line::default();
            line.number(Some(number));
            let expected = format!("{number}\n");
            proptest::prop_assert_eq!(line.end(0, Duration::ZERO), expected.as_bytes());
        }

        #[test]
        fn any_value_stays_in_its_string(value in ".*") {
            let mut line = Line::default();
            line.text("\"");
            line.value(Some(&value), Escape::Json);
            line.text("\"");
            let line = line.end(0, Duration::ZERO);
            proptest::prop_assert_eq!(memchr::memchr(b'\n', line), Some(line.len() - 1));
            let read: String = serde_json::from_slice(line).unwrap();
            let expected = if value.is_empty() { "-" } else { &value };
            proptest::prop_assert_eq!(read, expected);
        }
    }
}
