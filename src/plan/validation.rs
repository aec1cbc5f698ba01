//! Request validation, compiled: which parameters a route wants, and the schema
//! of its body by content type.
//!
//! Source: API Gateway developer guide, "Request validation for REST APIs in API
//! Gateway".

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::media_type::essence;
use crate::language::json_schema::Schema;
use crate::model::{Api, Parameter, ParameterLocation, Route};
use crate::source::{Diagnostic, Diagnostics};

/// What is validated before a route's integration is called.
#[derive(Debug, Default)]
pub struct Validation {
    /// Required parameters, in the order in which missing ones are named.
    pub parameters: Vec<Parameter>,
    /// How the body is checked, where it is.
    pub body: Option<BodyValidation>,
}

/// A route's models.
#[derive(Debug)]
pub struct BodyValidation {
    /// An empty body is refused (OpenAPI 3, `requestBody.required`).
    pub required: bool,
    /// By content type in lower case; `$default` is for every other one.
    pub models: Vec<(String, Arc<Schema>)>,
}

impl BodyValidation {
    /// The model for a `Content-Type`; none at all counts as `application/json`.
    pub fn model(&self, content_type: Option<&str>) -> Option<&Schema> {
        let named = content_type.map(essence).filter(|name| !name.is_empty());
        let of = |name: &str| {
            self.models
                .iter()
                .find(|(own, _)| own.eq_ignore_ascii_case(name))
                .map(|(_, schema)| schema.as_ref())
        };
        of(named.unwrap_or("application/json")).or_else(|| of("$default"))
    }
}

/// Schemas of an API that are compiled already: routes share models.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    by_text: HashMap<String, Option<Arc<Schema>>>,
}

impl Schemas {
    /// Compiles what a route's validator asks for.
    pub(super) fn compile(
        &mut self,
        api: &Api,
        route: &Route,
        diagnostics: &mut Diagnostics,
    ) -> Validation {
        let Some(validator) = route.request_validator else {
            return Validation::default();
        };
        let mut validation = Validation::default();
        if validator.parameters {
            validation.parameters = route
                .parameters
                .iter()
                .filter(|parameter| parameter.required)
                .cloned()
                .collect();
            // Recorded at AWS: headers, then the path, then the query; AWS keeps them by name.
            validation
                .parameters
                .sort_by(|one, other| order(one).cmp(&order(other)));
        }
        if validator.body && !route.request_models.is_empty() {
            let mut models = Vec::new();
            for (content_type, model) in &route.request_models {
                let text = model.value.to_string();
                let known = self.by_text.entry(text).or_insert_with(|| {
                    match Schema::compile(&model.value, &api.models) {
                        Ok(schema) => {
                            if !schema.ignored().is_empty() {
                                let message = format!(
                                    "AWS does not validate by `{}` in a model",
                                    schema.ignored().join("`, `")
                                );
                                diagnostics.push(Diagnostic::note("N0911", message).at(model.span));
                            }
                            Some(Arc::new(schema))
                        }
                        Err(error) => {
                            let message = format!("the model for {content_type}: {error}");
                            diagnostics.push(Diagnostic::error("E0909", message).at(model.span));
                            None
                        }
                    }
                });
                if let Some(schema) = known {
                    models.push((
                        essence(content_type).to_ascii_lowercase(),
                        Arc::clone(schema),
                    ));
                }
            }
            validation.body = Some(BodyValidation {
                required: route.request_body_required,
                models,
            });
        }
        validation
    }
}

fn order(parameter: &Parameter) -> (u8, &str) {
    let place = match parameter.location {
        ParameterLocation::Header => 0,
        ParameterLocation::Path => 1,
        ParameterLocation::QueryString => 2,
    };
    (place, &parameter.name)
}
