//! Request validation: required parameters, and the body against its model.

use bytes::Bytes;

use super::rejection::Rejection;
use crate::event::Exchange;
use crate::model::{Parameter, ParameterLocation};
use crate::plan::validation::{BodyValidation, Validation};

/// Checks that every required parameter is there and not blank.
///
/// # Errors
///
/// [`Rejection::MissingParameters`] with all that are missing.
pub(super) fn parameters(
    validation: &Validation,
    exchange: &Exchange<'_>,
) -> Result<(), Rejection> {
    let missing: Vec<String> = validation
        .parameters
        .iter()
        .filter(|parameter| !is_there(parameter, exchange))
        .map(|parameter| parameter.name.clone())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Rejection::MissingParameters(missing))
    }
}

fn is_there(parameter: &Parameter, exchange: &Exchange<'_>) -> bool {
    let name = parameter.name.as_str();
    match parameter.location {
        // A declared variable that the path does not have is always missing (recorded at AWS).
        ParameterLocation::Path => exchange.path_parameter(name).is_some(),
        ParameterLocation::QueryString => exchange
            .query()
            .all(name)
            .any(|value| !value.trim().is_empty()),
        ParameterLocation::Header if name.eq_ignore_ascii_case("host") => {
            !exchange.request.host.is_empty()
        }
        ParameterLocation::Header => exchange
            .headers()
            .all(name)
            .any(|value| !value.trim().is_empty()),
    }
}

/// Checks the body against the model of its content type. A type without a
/// model is not checked; an empty body counts as `{}` (recorded at AWS).
///
/// # Errors
///
/// [`Rejection::InvalidBody`] with what is wrong.
pub(super) fn body(
    validation: &BodyValidation,
    exchange: &Exchange<'_>,
    body: &Bytes,
) -> Result<(), Rejection> {
    let content_type = exchange.headers().last("content-type");
    let Some(schema) = validation.model(content_type.as_deref()) else {
        return Ok(());
    };
    let json = if body.is_empty() {
        if validation.required {
            return Err(Rejection::InvalidBody(
                "[the request body is missing]".to_owned(),
            ));
        }
        serde_json::Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_slice(body).map_err(|error| {
            Rejection::InvalidBody(format!("[the request body is no JSON: {error}]"))
        })?
    };
    schema.check(&json).map_err(Rejection::InvalidBody)
}
