//! `mock`: no backend; the request template's `statusCode` picks the response.
//!
//! Source: API Gateway developer guide, "Mock integrations for REST APIs in API
//! Gateway". That the key may stand without quotes was recorded at AWS.

use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderMap;

use super::header_rules::Backend;
use super::request_side::RequestSide;
use super::response_side::{BackendAnswer, ResponseSide};
use super::{Answer, IntegrationError};
use crate::event::Exchange;

/// A compiled `mock` integration.
#[derive(Debug)]
pub struct Mock {
    /// Request mappings.
    pub request: RequestSide,
    /// Response mappings.
    pub response: ResponseSide,
    /// The first payload and the status that was read from it: most templates are
    /// constant. Begins empty.
    pub first: OnceLock<(Bytes, Option<String>)>,
}

impl Mock {
    /// Answers.
    ///
    /// # Errors
    ///
    /// A template that fails, or that yields no `{"statusCode": N}`.
    pub fn call(&self, exchange: &Exchange<'_>, body: &Bytes) -> Result<Answer, IntegrationError> {
        let request = self.request.map(exchange, body)?;
        let selector = if request.payload.is_empty() {
            // Nothing to tell a status: the default response answers.
            String::new()
        } else {
            self.status_code(&request.payload).ok_or_else(|| {
                IntegrationError::Configuration(
                    "a mock's request template must yield {\"statusCode\": N}".to_owned(),
                )
            })?
        };
        let answer = BackendAnswer {
            selector,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let response = self
            .response
            .map(exchange, answer, request.overrides, Backend::Mock)?;
        Ok(Answer {
            response,
            with_trace_id: false,
            streams: false,
        })
    }
}

impl Mock {
    fn status_code(&self, payload: &Bytes) -> Option<String> {
        let read = || status_code(&String::from_utf8_lossy(payload));
        let (first, status) = self.first.get_or_init(|| (payload.clone(), read()));
        match first == payload {
            true => status.clone(),
            false => read(),
        }
    }
}

/// The `statusCode` of a template's result, as text.
fn status_code(text: &str) -> Option<String> {
    let status = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => match json.get("statusCode")? {
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::String(text) => text.trim().to_owned(),
            _ => return None,
        },
        Err(_) => loose_status_code(text)?.to_owned(),
    };
    status
        .parse::<u16>()
        .ok()
        .filter(|status| (100..=999).contains(status))
        .map(|_| status)
}

/// The same from JSON whose keys stand without quotes or in single ones.
fn loose_status_code(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let is_quote = |c: char| matches!(c, '"' | '\'');
    inner.split(',').find_map(|member| {
        let (key, value) = member.split_once(':')?;
        (key.trim().trim_matches(is_quote) == "statusCode")
            .then(|| value.trim().trim_matches(is_quote))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_strict_and_loose_json() {
        for text in [
            r#"{"statusCode": 404}"#,
            r#"{"statusCode": "404"}"#,
            "{statusCode: 404}",
            "\n { 'statusCode' : 404, message: 'x' } \n",
        ] {
            assert_eq!(status_code(text).as_deref(), Some("404"), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_status() {
        for text in [
            "",
            "{}",
            "404",
            "[]",
            r#"{"statusCode": "x"}"#,
            r#"{"statusCode": 9}"#,
            "{status: 200}",
        ] {
            assert_eq!(status_code(text), None, "{text}");
        }
    }
}
