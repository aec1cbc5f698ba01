//! The integration request of `http`, `aws` and `mock`: parameters, template,
//! payload, and what the template overrides.
//!
//! Source: API Gateway developer guide, "Data mappings in API Gateway" and "Use
//! a mapping template to override an API's request and response parameters".

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderName;

use super::IntegrationError;
use super::content_handling::convert_request;
use super::mapping::{Mapped, RequestMapping};
use super::templates::{Templates, override_values, refuse_untemplated, render};
use super::uri::Value;
use crate::event::Exchange;
use crate::language::vtl::Overrides;
use crate::model::{ContentHandling, PassthroughBehavior};

/// What an integration request is made of, compiled.
#[derive(Debug, Default)]
pub struct RequestSide {
    /// `requestParameters`.
    pub mapping: RequestMapping,
    /// `requestTemplates`.
    pub templates: Templates,
    /// `passthroughBehavior`.
    pub passthrough: PassthroughBehavior,
    /// `contentHandling`.
    pub content_handling: Option<ContentHandling>,
}

/// An integration request.
#[derive(Debug)]
pub struct MappedRequest {
    /// The payload.
    pub payload: Bytes,
    /// A template made it.
    pub templated: bool,
    /// Path, query and headers.
    pub mapped: Mapped,
    /// What the template left behind; the response template goes on with it.
    pub overrides: Overrides,
}

impl RequestSide {
    /// Makes the integration request.
    ///
    /// # Errors
    ///
    /// 415 by the passthrough behavior; a template or conversion that fails.
    pub fn map(
        &self,
        exchange: &Exchange<'_>,
        body: &Bytes,
    ) -> Result<MappedRequest, IntegrationError> {
        let content_type = exchange.headers().last("content-type");
        let binary = exchange
            .api
            .binary_media_types
            .contains(content_type.as_deref());
        let converted = convert_request(body.clone(), binary, self.content_handling)?;
        let mut overrides = Overrides::default();
        let template = self.templates.for_request(content_type.as_deref());
        let payload = match template {
            Some(template) => {
                let input = as_text(&converted, binary);
                Bytes::from(render(template, exchange, &input, &mut overrides)?)
            }
            None => {
                let refused = refuse_untemplated(self.passthrough, &self.templates);
                match refused.filter(|_| !body.is_empty()) {
                    Some(refused) => return Err(refused),
                    None => converted,
                }
            }
        };
        let mut mapped = self.mapping.apply(exchange, Some(body))?;
        apply_overrides(&mut mapped, &overrides)?;
        Ok(MappedRequest {
            payload,
            templated: template.is_some(),
            mapped,
            overrides,
        })
    }
}

/// What `$input.body` shows of a payload: bytes only as base64.
fn as_text(payload: &Bytes, binary: bool) -> Cow<'_, str> {
    use base64::Engine;

    match std::str::from_utf8(payload) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) if binary => Cow::Owned(base64::engine::general_purpose::STANDARD.encode(payload)),
        Err(_) => String::from_utf8_lossy(payload),
    }
}

/// `$context.requestOverride` wins over the mappings.
fn apply_overrides(mapped: &mut Mapped, overrides: &Overrides) -> Result<(), IntegrationError> {
    let of = |place: &str| {
        overrides
            .request
            .get(place)
            .and_then(|value| value.as_object())
            .into_iter()
            .flatten()
    };
    for (name, value) in of("path") {
        let value = override_values(value).join(",");
        mapped.path.retain(|(other, _)| other != name);
        mapped.path.push((name.clone(), Value::Text(value)));
    }
    for (name, value) in of("querystring") {
        let values = override_values(value)
            .into_iter()
            .map(Cow::into_owned)
            .collect();
        mapped.query.retain(|(other, _)| other != name);
        mapped.query.push((name.clone(), values));
    }
    for (name, value) in of("header") {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            IntegrationError::Configuration(format!("the override `{name}` is no header name"))
        })?;
        let values = override_values(value)
            .into_iter()
            .map(Cow::into_owned)
            .collect();
        mapped.headers.retain(|(other, _)| *other != header);
        mapped.headers.push((header, values));
    }
    Ok(())
}
