//! JSON Schema draft 4, as API Gateway validates request bodies with it.
//!
//! A model is compiled with the models it refers to, once; a request only runs
//! it. Keywords that AWS does not know are dropped before compiling, so that
//! they neither check anything nor are complained about. Nothing is ever
//! fetched: a reference leads to another model or is an error.
//!
//! Source: API Gateway developer guide, "Data models for REST APIs" and "Amazon
//! API Gateway important notes". The messages are those of the validator that
//! AWS runs (json-schema-validator for Java), as seen in
//! `$context.error.validationErrorString`.

use std::collections::HashSet;

use indexmap::IndexMap;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, PatternOptions, ValidationError, Validator};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value as Json};

/// The name under which the body's own schema stands among the definitions.
const BODY: &str = "$body";
/// What a reference to a model begins with when it is its address at AWS.
const MODEL_ADDRESS: &str = "https://apigateway.amazonaws.com/restapis/";
/// Backtracking of a `pattern` before it counts as no match.
const BACKTRACK_LIMIT: usize = 100_000;
/// The most findings of one body that are told.
const MESSAGES: usize = 100;

/// A compiled schema.
pub struct Schema {
    validator: Validator,
    ignored: Vec<String>,
}

/// Why a schema cannot be used. `Display` is a finding's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A reference that leads nowhere.
    #[error("`$ref: {0}` leads to no model")]
    Reference(String),
    /// A reference that leads back to itself without going deeper into the body.
    #[error("the model refers to itself without end at `{0}`")]
    Endless(String),
    /// Not a schema of draft 4.
    #[error("this is no JSON Schema of draft 4: {0}")]
    Invalid(String),
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

impl Schema {
    /// Compiles a schema; `models` are those it may refer to by
    /// `#/definitions/NAME`, `#/components/schemas/NAME` or their address at
    /// AWS. `Empty` and `Error` are built in.
    ///
    /// # Errors
    ///
    /// A reference that leads nowhere or in a circle, or a schema that draft 4
    /// does not take.
    pub fn compile(schema: &Json, models: &IndexMap<String, Json>) -> Result<Self, SchemaError> {
        let mut builder = Builder {
            models,
            definitions: Map::new(),
            pending: Vec::new(),
            ignored: Vec::new(),
        };
        let body = builder.convert(schema, &Home { name: BODY, schema })?;
        builder.definitions.insert(BODY.to_owned(), body);
        while let Some(name) = builder.pending.pop() {
            if builder.definitions.contains_key(&name) {
                continue;
            }
            let model = builder
                .model(&name)
                .ok_or_else(|| SchemaError::Reference(format!("#/definitions/{name}")))?;
            let home = Home {
                name: &name,
                schema: &model,
            };
            let converted = builder.convert(&model, &home)?;
            builder.definitions.insert(name, converted);
        }
        let document = serde_json::json!({
            "$ref": pointer_to(&[BODY]),
            "definitions": builder.definitions,
        });
        Circles::refuse(&document)?;
        let invalid = |error: &ValidationError<'_>| {
            let place = error.instance_path().to_string();
            let place = place
                .strip_prefix("/definitions/")
                .and_then(|rest| rest.split_once('/'))
                .map_or("", |(_, rest)| rest);
            SchemaError::Invalid(if place.is_empty() {
                error.to_string()
            } else {
                format!("{error} (at `{place}`)")
            })
        };
        if let Err(error) = jsonschema::draft4::meta::validate(&document) {
            return Err(invalid(&error));
        }
        let validator = jsonschema::draft4::options()
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_LIMIT))
            .should_validate_formats(true)
            .with_format("date-time", is_date_time)
            // AWS's validator takes nearly anything for these two.
            .with_format("email", |_: &str| true)
            .with_format("uri", |text: &str| {
                !text.contains([' ', '<', '>', '"', '\\', '^', '`'])
            })
            .build(&document)
            .map_err(|error| invalid(&error))?;
        Ok(Self {
            validator,
            ignored: builder.ignored,
        })
    }

    /// Keywords of the schema that would check something, but not at AWS.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Checks a body.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as in `$context.error.validationErrorString`:
    /// `[object has missing required properties (["name"])]`.
    pub fn check(&self, body: &Json) -> Result<(), String> {
        if self.validator.is_valid(body) {
            return Ok(());
        }
        let mut messages: Vec<String> = Vec::new();
        let mut missing: Option<(String, Vec<String>)> = None;
        let end_missing = |missing: &mut Option<(String, Vec<String>)>,
                           messages: &mut Vec<String>| {
            if let Some((_, mut names)) = missing.take() {
                names.sort_unstable();
                messages.push(format!(
                    "object has missing required properties ([{}])",
                    names.join(",")
                ));
            }
        };
        for error in self.validator.iter_errors(body).take(MESSAGES) {
            // One finding names all that an object lacks.
            if let ValidationErrorKind::Required { property } = error.kind() {
                let place = error.instance_path().to_string();
                match &mut missing {
                    Some((own, names)) if *own == place => names.push(property.to_string()),
                    other => {
                        end_missing(other, &mut messages);
                        *other = Some((place, vec![property.to_string()]));
                    }
                }
                continue;
            }
            end_missing(&mut missing, &mut messages);
            messages.push(message(&error));
        }
        end_missing(&mut missing, &mut messages);
        Err(format!("[{}]", messages.join(", ")))
    }
}

/// One finding in the words of AWS's validator.
fn message(error: &ValidationError<'_>) -> String {
    let found = error.instance();
    let length = |value: &Json| value.as_str().map_or(0, |text| text.chars().count());
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    match error.kind() {
        ValidationErrorKind::Type { kind } => format!(
            "instance type ({}) does not match any allowed primitive type (allowed: [{}])",
            type_of(found),
            allowed_types(kind)
        ),
        ValidationErrorKind::Enum { options } => {
            format!("instance value ({found}) not found in enum (possible values: {options})")
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let mut names = unexpected.clone();
            names.sort_unstable();
            format!(
                "object instance has properties which are not allowed by the schema: {}",
                Json::from(names)
            )
        }
        ValidationErrorKind::AdditionalItems { limit } => {
            format!("array is not allowed to have more than {limit} elements")
        }
        ValidationErrorKind::Minimum { limit } => format!(
            "numeric instance is lower than the required minimum (minimum: {limit}, found: {found})"
        ),
        ValidationErrorKind::ExclusiveMinimum { limit } => {
            format!("numeric instance is not strictly greater than the required minimum {limit}")
        }
        ValidationErrorKind::Maximum { limit } => format!(
            "numeric instance is greater than the required maximum (maximum: {limit}, found: {found})"
        ),
        ValidationErrorKind::ExclusiveMaximum { limit } => {
            format!("numeric instance is not strictly lower than the required maximum {limit}")
        }
        ValidationErrorKind::MinLength { limit } => format!(
            "string {found} is too short (length: {}, required minimum: {limit})",
            length(found)
        ),
        ValidationErrorKind::MaxLength { limit } => format!(
            "string {found} is too long (length: {}, maximum allowed: {limit})",
            length(found)
        ),
        ValidationErrorKind::Pattern { pattern } => format!(
            "ECMA 262 regex \"{pattern}\" does not match input string \"{}\"",
            text(found)
        ),
        ValidationErrorKind::UniqueItems => "array must not contain duplicate elements".to_owned(),
        ValidationErrorKind::MultipleOf { multiple_of } => {
            format!("remainder of division is not zero ({found} / {multiple_of})")
        }
        ValidationErrorKind::MinProperties { limit } => format!(
            "object has too few properties (found {} but schema requires at least {limit})",
            found.as_object().map_or(0, Map::len)
        ),
        ValidationErrorKind::MaxProperties { limit } => format!(
            "object has too many properties (found {} but schema requires at most {limit})",
            found.as_object().map_or(0, Map::len)
        ),
        ValidationErrorKind::AnyOf { context } => format!(
            "instance failed to match at least one required schema among {}",
            context.len()
        ),
        ValidationErrorKind::OneOfNotValid { context } => format!(
            "instance failed to match exactly one schema (matched 0 out of {})",
            context.len()
        ),
        ValidationErrorKind::OneOfMultipleValid { context } => format!(
            "instance failed to match exactly one schema (matched {} out of {})",
            context.iter().filter(|errors| errors.is_empty()).count(),
            context.len()
        ),
        ValidationErrorKind::Not { .. } => {
            "instance matched a schema which it should not have".to_owned()
        }
        ValidationErrorKind::Format { format } => match format.as_str() {
            "date-time" => format!(
                "string {found} is invalid against requested date format(s) [yyyy-MM-dd'T'HH:mm:ssZ, yyyy-MM-dd'T'HH:mm:ss.SSSZ]"
            ),
            "ipv4" => format!("string {found} is not a valid IPv4 address"),
            "ipv6" => format!("string {found} is not a valid IPv6 address"),
            "uri" => format!("string {found} is not a valid URI"),
            "hostname" => format!("string {found} is not a valid hostname"),
            other => format!("string {found} is not a valid {other}"),
        },
        _ => error.to_string(),
    }
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// The types that a schema takes, in alphabetical order; a number may be an integer.
fn allowed_types(kind: &TypeKind) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut add = |kind: JsonType| match kind {
        JsonType::Array => names.push("array"),
        JsonType::Boolean => names.push("boolean"),
        JsonType::Integer => names.push("integer"),
        JsonType::Null => names.push("null"),
        JsonType::Number => names.extend(["integer", "number"]),
        JsonType::Object => names.push("object"),
        JsonType::String => names.push("string"),
    };
    match kind {
        TypeKind::Single(one) => add(*one),
        TypeKind::Multiple(several) => several.iter().for_each(add),
    }
    names.sort_unstable();
    names.dedup();
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(",")
}

/// `2024-01-31T23:59:59Z`, with a fraction of a second and an offset if wanted.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00";
    if bytes.len() <= shape.len() || !text.is_ascii() {
        return false;
    }
    let fits = shape.iter().zip(bytes).all(|(wanted, byte)| match wanted {
        b'0' => byte.is_ascii_digit(),
        other => other == byte,
    });
    let number = |from: usize| text[from..from + 2].parse::<u32>().unwrap_or(u32::MAX);
    let (month, day) = (
        text[5..7].parse().unwrap_or(0),
        text[8..10].parse().unwrap_or(0),
    );
    let year = text[..4].parse().unwrap_or(0);
    if !fits
        || jiff::civil::Date::new(year, month, day).is_err()
        || number(11) > 23
        || number(14) > 59
        || number(17) > 59
    {
        return false;
    }
    let mut rest = &text[shape.len()..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=12).contains(&digits) {
            return false;
        }
        rest = &fraction[digits..];
    }
    let Some(offset) = rest.strip_prefix(['+', '-']) else {
        return rest == "Z";
    };
    let digits: String = offset.chars().filter(|c| *c != ':').collect();
    digits.len() == 4
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (offset.len() == 4 || offset.as_bytes().get(2) == Some(&b':'))
}

/// The schema whose references are being read.
struct Home<'h> {
    name: &'h str,
    schema: &'h Json,
}

/// Makes one document of a schema and every model that it reaches.
struct Builder<'m> {
    models: &'m IndexMap<String, Json>,
    definitions: Map<String, Json>,
    pending: Vec<String>,
    ignored: Vec<String>,
}

impl Builder<'_> {
    /// A model of the API, or one of those that every API has.
    fn model(&self, name: &str) -> Option<Json> {
        match (self.models.get(name), name) {
            (Some(model), _) => Some(model.clone()),
            (None, "Empty") => Some(serde_json::json!({"type": "object"})),
            (None, "Error") => Some(serde_json::json!({
                "type": "object", "properties": {"message": {"type": "string"}}
            })),
            (None, _) => None,
        }
    }

    fn convert(&mut self, schema: &Json, home: &Home<'_>) -> Result<Json, SchemaError> {
        let Json::Object(keywords) = schema else {
            // Left to the check against the meta-schema.
            return Ok(schema.clone());
        };
        if let Some(Json::String(reference)) = keywords.get("$ref") {
            let target = self.reference(reference, home)?;
            return Ok(serde_json::json!({ "$ref": target }));
        }
        let mut converted = Map::with_capacity(keywords.len());
        for (keyword, value) in keywords {
            let value = match keyword.as_str() {
                "type" | "enum" | "required" | "multipleOf" | "minimum" | "maximum"
                | "exclusiveMaximum" | "minLength" | "maxLength" | "pattern" | "uniqueItems"
                | "minProperties" | "maxProperties" | "format" => value.clone(),
                "properties" | "patternProperties" | "definitions" | "dependencies" => {
                    self.convert_members(value, home)?
                }
                "items"
                | "additionalItems"
                | "additionalProperties"
                | "allOf"
                | "anyOf"
                | "oneOf"
                | "not" => self.convert_any(value, home)?,
                "minItems" | "maxItems" | "exclusiveMinimum" | "nullable" | "discriminator" => {
                    if *value != Json::Bool(false) && !self.ignored.contains(keyword) {
                        self.ignored.push(keyword.clone());
                    }
                    continue;
                }
                _ => continue,
            };
            converted.insert(keyword.clone(), value);
        }
        Ok(Json::Object(converted))
    }

    /// A map whose values are schemas (or, in `dependencies`, lists of names).
    fn convert_members(&mut self, value: &Json, home: &Home<'_>) -> Result<Json, SchemaError> {
        let Json::Object(members) = value else {
            return Ok(value.clone());
        };
        let mut converted = Map::with_capacity(members.len());
        for (name, member) in members {
            converted.insert(name.clone(), self.convert(member, home)?);
        }
        Ok(Json::Object(converted))
    }

    /// A schema, or a list of them.
    fn convert_any(&mut self, value: &Json, home: &Home<'_>) -> Result<Json, SchemaError> {
        match value {
            Json::Array(items) => items
                .iter()
                .map(|item| self.convert(item, home))
                .collect::<Result<Vec<_>, _>>()
                .map(Json::Array),
            other => self.convert(other, home),
        }
    }

    /// A reference, rewritten to where its target stands in the one document.
    fn reference(&mut self, reference: &str, home: &Home<'_>) -> Result<String, SchemaError> {
        let unknown = || SchemaError::Reference(reference.to_owned());
        if let Some(rest) = reference.strip_prefix(MODEL_ADDRESS) {
            let name = rest.split_once("/models/").ok_or_else(unknown)?.1;
            return self.named(name, &[]).ok_or_else(unknown);
        }
        let pointer = reference.strip_prefix('#').ok_or_else(unknown)?;
        let steps: Vec<String> = pointer
            .split('/')
            .skip(1)
            .map(|step| {
                let decoded = percent_decode_str(step).decode_utf8_lossy();
                decoded.replace("~1", "/").replace("~0", "~")
            })
            .collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        match steps.as_slice() {
            // The schema's own parts come before the document's models.
            own if at(home.schema, own).is_some() => {
                let mut whole = vec![home.name];
                whole.extend(own);
                Ok(pointer_to(&whole))
            }
            ["definitions", name, rest @ ..] | ["components", "schemas", name, rest @ ..] => {
                self.named(name, rest).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }

    /// The pointer to a model, which is put in line to be converted.
    fn named(&mut self, name: &str, rest: &[&str]) -> Option<String> {
        let model = self.model(name)?;
        at(&model, rest)?;
        self.pending.push(name.to_owned());
        let mut whole = vec![name];
        whole.extend(rest);
        Some(pointer_to(&whole))
    }
}

/// What stands at a path of member names and indexes.
fn at<'j>(json: &'j Json, steps: &[&str]) -> Option<&'j Json> {
    steps.iter().try_fold(json, |json, step| match json {
        Json::Object(members) => members.get(*step),
        Json::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// A reference into the one document's definitions.
fn pointer_to(steps: &[&str]) -> String {
    const STEP: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b'$');
    let mut pointer = "#/definitions".to_owned();
    for step in steps {
        let escaped = step.replace('~', "~0").replace('/', "~1");
        pointer.push('/');
        pointer.extend(utf8_percent_encode(&escaped, STEP));
    }
    pointer
}

/// Looks for references that lead back to themselves without a step into the
/// body: checking such a schema would never end.
struct Circles<'d> {
    document: &'d Json,
    ended: HashSet<String>,
}

impl Circles<'_> {
    fn refuse(document: &Json) -> Result<(), SchemaError> {
        let mut circles = Circles {
            document,
            ended: HashSet::new(),
        };
        circles.each(document)
    }

    /// Begins at every schema of the document.
    fn each(&mut self, json: &Json) -> Result<(), SchemaError> {
        match json {
            Json::Object(members) => {
                self.follow(json, &mut Vec::new())?;
                members.values().try_for_each(|member| self.each(member))
            }
            Json::Array(items) => items.iter().try_for_each(|item| self.each(item)),
            _ => Ok(()),
        }
    }

    fn follow(&mut self, schema: &Json, open: &mut Vec<String>) -> Result<(), SchemaError> {
        let Json::Object(keywords) = schema else {
            return Ok(());
        };
        if let Some(Json::String(reference)) = keywords.get("$ref") {
            if self.ended.contains(reference) {
                return Ok(());
            }
            let readable = || {
                percent_decode_str(reference)
                    .decode_utf8_lossy()
                    .into_owned()
            };
            if open.contains(reference) || open.len() > 200 {
                return Err(SchemaError::Endless(readable()));
            }
            let steps: Vec<String> = reference
                .split('/')
                .skip(1)
                .map(|step| {
                    let decoded = percent_decode_str(step).decode_utf8_lossy();
                    decoded.replace("~1", "/").replace("~0", "~")
                })
                .collect();
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            let target = at(self.document, &steps)
                .ok_or_else(|| SchemaError::Reference(readable()))?
                .clone();
            open.push(reference.clone());
            self.follow(&target, open)?;
            open.pop();
            self.ended.insert(reference.clone());
            return Ok(());
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for part in keywords
                .get(keyword)
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
            {
                self.follow(part, open)?;
            }
        }
        if let Some(not) = keywords.get("not") {
            self.follow(not, open)?;
        }
        let dependencies = keywords.get("dependencies").and_then(Json::as_object);
        for part in dependencies.into_iter().flat_map(Map::values) {
            self.follow(part, open)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn models(json: Json) -> IndexMap<String, Json> {
        serde_json::from_value(json).unwrap()
    }

    fn compile(schema: Json) -> Result<Schema, SchemaError> {
        Schema::compile(&schema, &IndexMap::new())
    }

    fn told(schema: Json, body: Json) -> String {
        compile(schema).unwrap().check(&body).unwrap_err()
    }

    #[test]
    fn messages_are_those_of_awss_validator() {
        for (schema, body, expected) in [
            (
                json!({"required": ["b", "a", "c"]}),
                json!({"a": 1}),
                r#"[object has missing required properties (["b","c"])]"#,
            ),
            (
                json!({"properties": {"n": {"type": "number"}}}),
                json!({"n": "1"}),
                r#"[instance type (string) does not match any allowed primitive type (allowed: ["integer","number"])]"#,
            ),
            (
                json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
                json!(1),
                "[instance failed to match exactly one schema (matched 0 out of 2)]",
            ),
            (
                json!({"enum": ["dog", "cat"]}),
                json!("bird"),
                r#"[instance value ("bird") not found in enum (possible values: ["dog","cat"])]"#,
            ),
            (
                json!({"additionalProperties": false, "properties": {"a": {}}}),
                json!({"x": 1}),
                r#"[object instance has properties which are not allowed by the schema: ["x"]]"#,
            ),
            (
                json!({"minLength": 3, "pattern": "^[a-z]+$"}),
                json!("A"),
                r#"[string "A" is too short (length: 1, required minimum: 3), ECMA 262 regex "^[a-z]+$" does not match input string "A"]"#,
            ),
            (
                json!({"maximum": 5}),
                json!(6),
                "[numeric instance is greater than the required maximum (maximum: 5, found: 6)]",
            ),
        ] {
            assert_eq!(told(schema, body), expected);
        }
    }

    #[test]
    fn references_are_found_in_every_form() {
        let models = models(json!({
            "Pet": {"type": "object", "required": ["name"]},
            "Own": {"definitions": {"Pet": {"type": "string"}}, "type": "array", "items": {"$ref": "#/definitions/Pet"}},
        }));
        for reference in [
            "#/definitions/Pet",
            "#/components/schemas/Pet",
            "https://apigateway.amazonaws.com/restapis/a1b2c3/models/Pet",
        ] {
            let schema = Schema::compile(&json!({"$ref": reference}), &models).unwrap();
            assert!(schema.check(&json!({"name": 1})).is_ok());
            assert!(schema.check(&json!({})).is_err());
        }
        // A model's own definitions come first.
        let own = Schema::compile(&json!({"$ref": "#/definitions/Own"}), &models).unwrap();
        assert!(own.check(&json!(["a"])).is_ok());
        let built_in = Schema::compile(&json!({"$ref": "#/definitions/Error"}), &models).unwrap();
        assert!(built_in.check(&json!({"message": 1})).is_err());
        assert_eq!(
            Schema::compile(&json!({"$ref": "http://example.com/x"}), &models).unwrap_err(),
            SchemaError::Reference("http://example.com/x".into())
        );
    }

    #[test]
    fn a_circle_through_the_body_is_fine_and_one_on_the_spot_is_not() {
        let models = models(json!({
            "Tree": {"properties": {"leaves": {"type": "array", "items": {"$ref": "#/definitions/Tree"}}}},
            "Loop": {"allOf": [{"$ref": "#/definitions/Other"}]},
            "Other": {"$ref": "#/definitions/Loop"},
        }));

        let tree = Schema::compile(&json!({"$ref": "#/definitions/Tree"}), &models).unwrap();
        assert!(tree.check(&json!({"leaves": [{"leaves": []}]})).is_ok());
        assert!(tree.check(&json!({"leaves": [{"leaves": 1}]})).is_err());
        let endless = Schema::compile(&json!({"$ref": "#/definitions/Loop"}), &models);
        assert!(matches!(endless, Err(SchemaError::Endless(_))));
        assert!(matches!(
            compile(json!({"$ref": "#"})),
            Err(SchemaError::Endless(_))
        ));
    }

    #[test]
    fn what_aws_does_not_know_checks_nothing() {
        let schema = compile(json!({
            "type": "object", "discriminator": {"propertyName": "x"}, "example": {"$ref": "#/no"},
            "properties": {
                "list": {"type": "array", "maxItems": 1},
                "id": {"type": "integer", "format": "int64"},
                "none": {"type": "string", "nullable": true},
                "one": {"const": 1},
            },
        }))
        .unwrap();

        assert!(
            schema
                .check(&json!({"list": [1, 2], "id": 1, "one": 2}))
                .is_ok()
        );
        assert!(schema.check(&json!({"none": null})).is_err());
        assert_eq!(schema.ignored(), ["discriminator", "maxItems", "nullable"]);
    }

    #[test]
    fn numbers_follow_draft_4() {
        let schema = compile(json!({"properties": {
            "i": {"type": "integer"}, "m": {"multipleOf": 0.01}, "e": {"maximum": 5, "exclusiveMaximum": true},
        }}))
        .unwrap();

        assert!(schema.check(&json!({"i": 1.5})).is_err());
        assert!(schema.check(&json!({"m": 249.99})).is_ok());
        assert!(schema.check(&json!({"e": 5})).is_err());
    }

    #[test]
    fn bad_schemas_are_told_with_their_place() {
        for (schema, part) in [
            (
                json!({"properties": {"a": {"type": "file"}}}),
                "properties/a",
            ),
            (json!({"properties": {"a": {"required": true}}}), "required"),
            (json!({"pattern": "("}), "("),
            (json!("text"), ""),
        ] {
            let error = compile(schema).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn date_times_are_checked() {
        for text in [
            "2024-02-29T23:59:59Z",
            "2024-02-29T23:59:59.123Z",
            "2024-02-29T23:59:59+01:00",
            "2024-02-29T23:59:59-0800",
        ] {
            assert!(is_date_time(text), "{text}");
        }
        for text in [
            "2024-02-30T00:00:00Z",
            "2024-02-29",
            "2024-02-29T00:00:00",
            "x",
            "2024-02-29T24:00:00Z",
        ] {
            assert!(!is_date_time(text), "{text}");
        }
    }
}
