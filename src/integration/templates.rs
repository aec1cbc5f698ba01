//! Mapping templates of an integration: which one a payload gets, and what it sees.
//!
//! Source: API Gateway developer guide, "Data mappings in API Gateway" and
//! "Method request behavior for payloads without mapping templates".

use std::borrow::Cow;

use super::IntegrationError;
use crate::event::Exchange;
use crate::event::media_type::{essence, first_accepted};
use crate::event::template_inputs::RequestInputs;
use crate::language::vtl::{Inputs, Overrides, ParseError, Template};
use crate::model::PassthroughBehavior;

/// Templates by media type, in the document's order.
#[derive(Debug, Default)]
pub struct Templates {
    by_type: Vec<(String, Template)>,
}

impl Templates {
    /// Adds a template.
    ///
    /// # Errors
    ///
    /// Where and why the text is no template.
    pub fn add(&mut self, media_type: &str, text: &str) -> Result<(), ParseError> {
        self.by_type.push((
            essence(media_type).to_ascii_lowercase(),
            Template::parse(text)?,
        ));
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }

    fn of(&self, media_type: &str) -> Option<(&str, &Template)> {
        self.by_type
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(media_type))
            .map(|(own, template)| (own.as_str(), template))
    }

    /// The template of a request: by its `Content-Type`, `application/json` when it has none.
    pub fn for_request(&self, content_type: Option<&str>) -> Option<&Template> {
        let media_type = content_type.map(essence).filter(|name| !name.is_empty());
        self.of(media_type.unwrap_or("application/json"))
            .map(|(_, template)| template)
    }

    /// The template of a response and its media type: by the first type of the
    /// request's `Accept`, `application/json` when it has none, else the first one defined.
    pub fn for_response(&self, accept: Option<&str>) -> Option<(&str, &Template)> {
        let wanted = accept
            .map(first_accepted)
            .filter(|name| !name.is_empty())
            .unwrap_or("application/json");
        self.of(wanted).or_else(|| {
            self.by_type
                .first()
                .map(|(own, template)| (own.as_str(), template))
        })
    }
}

/// What happens to a payload that no template fits.
///
/// `None`: it passes as it is.
pub fn refuse_untemplated(
    behavior: PassthroughBehavior,
    templates: &Templates,
) -> Option<IntegrationError> {
    let refused = match behavior {
        PassthroughBehavior::WhenNoMatch => false,
        PassthroughBehavior::WhenNoTemplates => !templates.is_empty(),
        PassthroughBehavior::Never => true,
    };
    refused.then_some(IntegrationError::UnsupportedMediaType)
}

/// Renders a template for a request; `body` is behind `$input`.
///
/// # Errors
///
/// A template that fails is AWS's 500.
pub fn render(
    template: &Template,
    exchange: &Exchange<'_>,
    body: &str,
    overrides: &mut Overrides,
) -> Result<String, IntegrationError> {
    let request = RequestInputs::new(exchange);
    let inputs = Inputs {
        body: Some(body),
        path: &request.path,
        query_string: &request.query,
        header: &request.headers,
        stage_variables: &exchange.api.stage_variables,
        context: exchange,
        variables: None,
    };
    template.render(&inputs, overrides).map_err(|error| {
        IntegrationError::Configuration(format!("a mapping template failed: {error}"))
    })
}

/// An override's text values: a list makes several.
pub fn override_values(value: &serde_json::Value) -> Vec<Cow<'_, str>> {
    match value {
        serde_json::Value::Null => Vec::new(),
        serde_json::Value::String(text) => vec![Cow::Borrowed(text.as_str())],
        serde_json::Value::Array(items) => items.iter().flat_map(override_values).collect(),
        other => vec![Cow::Owned(other.to_string())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(types: &[&str]) -> Templates {
        let mut templates = Templates::default();
        for media_type in types {
            templates.add(media_type, "x").unwrap();
        }
        templates
    }

    #[test]
    fn a_request_without_a_type_counts_as_json() {
        let templates = templates(&["application/json", "text/csv"]);

        assert!(templates.for_request(None).is_some());
        assert!(
            templates
                .for_request(Some("TEXT/CSV; charset=utf-8"))
                .is_some()
        );
        assert!(templates.for_request(Some("application/xml")).is_none());
    }

    #[test]
    fn a_response_falls_back_to_the_first_template() {
        let templates = templates(&["text/html", "text/csv"]);

        let chosen = |accept| {
            templates
                .for_response(accept)
                .map(|(name, _)| name.to_owned())
        };
        assert_eq!(chosen(Some("text/csv,*/*")).as_deref(), Some("text/csv"));
        assert_eq!(chosen(Some("image/png")).as_deref(), Some("text/html"));
        assert_eq!(chosen(None).as_deref(), Some("text/html"));
    }

    #[test]
    fn the_three_passthrough_behaviors() {
        let (none, some) = (Templates::default(), templates(&["application/json"]));

        assert!(refuse_untemplated(PassthroughBehavior::WhenNoMatch, &some).is_none());
        assert!(refuse_untemplated(PassthroughBehavior::WhenNoTemplates, &none).is_none());
        assert!(refuse_untemplated(PassthroughBehavior::WhenNoTemplates, &some).is_some());
        assert!(refuse_untemplated(PassthroughBehavior::Never, &none).is_some());
    }
}
