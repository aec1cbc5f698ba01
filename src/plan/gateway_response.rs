//! Gateway responses, compiled: status, headers and templates by response type.
//!
//! Source: API Gateway developer guide, "Gateway responses for REST APIs in API
//! Gateway". Templates substitute variables only; they are no VTL.

use std::collections::HashMap;

use http::{HeaderName, StatusCode};
use indexmap::IndexMap;

use crate::integration::mapping::Source;
use crate::model::{GatewayResponse, Spanned};
use crate::source::{Diagnostic, Diagnostics};

/// What an API sends instead of a default, by response type.
#[derive(Debug, Default)]
pub struct GatewayResponses {
    by_type: HashMap<String, CustomResponse>,
}

/// An entry of `x-amazon-apigateway-gateway-responses`.
#[derive(Debug, Default)]
pub struct CustomResponse {
    /// Status instead of the default one.
    pub status: Option<StatusCode>,
    /// Headers.
    pub headers: Vec<(HeaderName, Source)>,
    /// Media type and template, in the document's order.
    pub templates: Vec<(String, Substitution)>,
}

/// A template whose variables are substituted and nothing else.
#[derive(Clone, Debug)]
pub struct Substitution(pub Vec<Piece>);

/// A piece of a [`Substitution`].
#[derive(Clone, Debug)]
pub enum Piece {
    /// Sent as it is.
    Text(String),
    /// `$context.NAME`.
    Context(String),
    /// `$stageVariables.NAME`.
    StageVariable(String),
    /// `$method.request.…`.
    Request(Source),
}

impl GatewayResponses {
    /// Compiles an API's entries.
    pub fn compile(
        entries: &IndexMap<String, GatewayResponse>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let by_type = entries
            .iter()
            .map(|(name, entry)| (name.clone(), CustomResponse::compile(entry, diagnostics)));
        Self {
            by_type: by_type.collect(),
        }
    }

    /// The entry for a response type: its own, or the one for its class. An
    /// entry of its own hides the class's entirely.
    pub fn find(&self, response_type: &str, status: StatusCode) -> Option<&CustomResponse> {
        self.by_type.get(response_type).or_else(|| {
            let class = if status.is_server_error() {
                "DEFAULT_5XX"
            } else {
                "DEFAULT_4XX"
            };
            self.by_type.get(class)
        })
    }
}

impl CustomResponse {
    fn compile(entry: &GatewayResponse, diagnostics: &mut Diagnostics) -> Self {
        let GatewayResponse {
            status_code,
            response_parameters,
            response_templates,
            span: _,
        } = entry;
        let status =
            status_code
                .as_ref()
                .and_then(|status| match StatusCode::from_u16(status.value) {
                    Ok(code) if (200..600).contains(&status.value) => Some(code),
                    _ => {
                        let message = format!("`{}` is no HTTP status", status.value);
                        diagnostics.push(Diagnostic::error("E0901", message).at(status.span));
                        None
                    }
                });
        let headers = response_parameters
            .iter()
            .filter_map(|(target, source)| {
                let header = compile_header(target, source);
                if let Err(message) = &header {
                    diagnostics.push(Diagnostic::error("E0902", message.clone()).at(source.span));
                }
                header.ok()
            })
            .collect();
        let templates = response_templates
            .iter()
            .map(|(media_type, text)| (media_type.clone(), Substitution::parse(&text.value)))
            .collect();
        Self {
            status,
            headers,
            templates,
        }
    }

    /// The template for an `Accept` header: the first type it names,
    /// `application/json` without one; else the first one defined.
    pub fn template(&self, accept: Option<&str>) -> Option<(&str, &Substitution)> {
        let wanted = accept
            .map(crate::event::media_type::first_accepted)
            .filter(|name| !name.is_empty())
            .unwrap_or("application/json");
        let of = |name: &str| {
            self.templates
                .iter()
                .find(|(media_type, _)| media_type.eq_ignore_ascii_case(name))
        };
        of(wanted)
            .or_else(|| self.templates.first())
            .map(|(media_type, template)| (media_type.as_str(), template))
    }
}

fn compile_header(target: &str, source: &Spanned<String>) -> Result<(HeaderName, Source), String> {
    let name = target
        .strip_prefix("gatewayresponse.header.")
        .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .ok_or_else(|| format!("`{target}` is no target; expected gatewayresponse.header.NAME"))?;
    let any = source.value.strip_prefix("method.input.params.");
    let parsed = match any {
        Some(name) => Some(Source::AnyParameter(name.to_owned())),
        None => Source::parse(&source.value),
    };
    let source = parsed.ok_or_else(|| {
        format!("`{}` is no mapping expression; expected method.request.…, context.…, stageVariables.… or 'text'", source.value)
    })?;
    Ok((name, source))
}

impl Substitution {
    /// Reads a template. What is no variable is text.
    pub fn parse(template: &str) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some(dollar) = rest.find('$') {
            text.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            let braced = rest.starts_with("${");
            let start = if braced { 2 } else { 1 };
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            let length = rest[start..]
                .find(|c| !is_name(c))
                .unwrap_or(rest.len() - start);
            // A dot at the end is the sentence's.
            let name = rest[start..start + length].trim_end_matches(['.', '-']);
            let end = start + name.len();
            let closed = !braced || rest[end..].starts_with('}');
            match Self::variable(name).filter(|_| closed) {
                Some(piece) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(piece);
                    rest = &rest[end + usize::from(braced)..];
                }
                None => {
                    text.push('$');
                    rest = &rest[1..];
                }
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Self(pieces)
    }

    fn variable(name: &str) -> Option<Piece> {
        if let Some(name) = name.strip_prefix("context.") {
            return Some(Piece::Context(name.to_owned()));
        }
        if let Some(name) = name.strip_prefix("stageVariables.") {
            return Some(Piece::StageVariable(name.to_owned()));
        }
        name.starts_with("method.request.")
            .then(|| Source::parse(name).map(Piece::Request))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_and_directives_stay_text() {
        let template = Substitution::parse(
            r##"{"m":$context.error.messageString,"l":"#if(true)$x#end ${context.stage}."}"##,
        );

        let pieces: Vec<String> = template
            .0
            .iter()
            .map(|piece| format!("{piece:?}"))
            .collect();
        assert_eq!(
            pieces,
            [
                r#"Text("{\"m\":")"#,
                r#"Context("error.messageString")"#,
                r##"Text(",\"l\":\"#if(true)$x#end ")"##,
                r#"Context("stage")"#,
                r#"Text(".\"}")"#,
            ]
        );
    }

    #[test]
    fn an_own_entry_hides_the_classs() {
        let entry = |status| GatewayResponse {
            status_code: Some(Spanned {
                value: status,
                ..Spanned::default()
            }),
            ..GatewayResponse::default()
        };
        let entries = IndexMap::from([
            ("DEFAULT_4XX".to_owned(), entry(410)),
            ("THROTTLED".to_owned(), entry(420)),
        ]);
        let responses = GatewayResponses::compile(&entries, &mut Diagnostics::default());

        let status = |name| {
            responses
                .find(name, StatusCode::FORBIDDEN)
                .and_then(|found| found.status)
        };
        assert_eq!(status("THROTTLED"), StatusCode::from_u16(420).ok());
        assert_eq!(status("INVALID_API_KEY"), StatusCode::from_u16(410).ok());
        assert!(responses.find("X", StatusCode::BAD_GATEWAY).is_none());
    }
}
