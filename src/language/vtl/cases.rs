//! Runs cases of templates and their expected outputs, one JSON object a line.
//!
//! `tests/vtl/README.md` says what the fields mean. Both the tests and
//! `tollgate render --cases` call this.

use serde_json::{Map, Value as Json};

use super::{Inputs, Overrides, Template};

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// The case's name, or its line number if it has none.
    pub name: String,
    /// What came of it.
    pub outcome: CaseOutcome,
}

/// Whether a case passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseOutcome {
    /// Output, error and overrides are as expected.
    Passed,
    /// They are not; the two sides in words and in full.
    Failed {
        /// The template under test.
        template: String,
        /// What the case expects.
        expected: String,
        /// What the engine gave.
        actual: String,
    },
    /// A case for plain Velocity, which this engine does not offer.
    Skipped,
}

/// How many cases went which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// As expected.
    pub passed: usize,
    /// Not as expected, or unreadable.
    pub failed: usize,
    /// For another engine.
    pub skipped: usize,
}

impl Summary {
    /// Counts more results.
    pub fn add(&mut self, results: &[CaseResult]) {
        for result in results {
            match result.outcome {
                CaseOutcome::Passed => self.passed += 1,
                CaseOutcome::Failed { .. } => self.failed += 1,
                CaseOutcome::Skipped => self.skipped += 1,
            }
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Runs every case of a file's text. A line that is no case fails.
pub fn run(text: &str) -> Vec<CaseResult> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let name = format!("line {}", index + 1);
            match serde_json::from_str::<Map<String, Json>>(line) {
                Ok(case) => CaseResult {
                    name: case
                        .get("name")
                        .and_then(Json::as_str)
                        .map_or(name, ToOwned::to_owned),
                    outcome: run_case(&case),
                },
                Err(error) => CaseResult {
                    name,
                    outcome: CaseOutcome::Failed {
                        template: line.to_owned(),
                        expected: "a JSON object".to_owned(),
                        actual: error.to_string(),
                    },
                },
            }
        })
        .collect()
}

fn run_case(case: &Map<String, Json>) -> CaseOutcome {
    if case.get("mode").and_then(Json::as_str) == Some("plain") {
        return CaseOutcome::Skipped;
    }
    let template = case
        .get("template")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let sight = Sight::read(case.get("context").unwrap_or(&Json::Null));
    let mut overrides = sight.overrides();
    let actual = match Template::parse(template) {
        Err(error) => Err(("parse", error.to_string())),
        Ok(parsed) => parsed
            .render(&sight.inputs(), &mut overrides)
            .map_err(|error| ("runtime", error.to_string())),
    };
    let expected_error = case.get("error").and_then(Json::as_str);
    let expected = case.get("expect").and_then(Json::as_str);
    let expected_overrides = case
        .get("overrides")
        .filter(|overrides| !overrides.is_null());
    let overrides = overrides.to_json();
    let right = match (&actual, expected_error) {
        (Ok(text), None) => {
            Some(text.as_str()) == expected
                && expected_overrides.is_none_or(|expected| *expected == overrides)
        }
        (Err((kind, _)), Some(error)) => *kind == error,
        _ => false,
    };
    if right {
        return CaseOutcome::Passed;
    }
    let with_overrides = |text: String, overrides: &Json| {
        if expected_overrides.is_some() {
            format!("{text}\noverrides: {overrides}")
        } else {
            text
        }
    };
    CaseOutcome::Failed {
        template: template.to_owned(),
        expected: match expected_error {
            Some(error) => format!("{error} error"),
            None => with_overrides(
                expected.unwrap_or_default().to_owned(),
                expected_overrides.unwrap_or(&Json::Null),
            ),
        },
        actual: match actual {
            Ok(text) => with_overrides(text, &overrides),
            Err((kind, message)) => format!("{kind} error: {message}"),
        },
    }
}

/// What a case's `context`, or a context file, lets a template see.
#[derive(Debug)]
pub struct Sight {
    body: Option<String>,
    path: Vec<(String, String)>,
    query_string: Vec<(String, String)>,
    header: Vec<(String, String)>,
    stage_variables: Vec<(String, String)>,
    context: Map<String, Json>,
    variables: Map<String, Json>,
}

impl Sight {
    /// Reads the keys `body`, `params`, `context`, `stageVariables` and
    /// `vars`; a missing one is empty.
    pub fn read(json: &Json) -> Self {
        let object =
            |value: Option<&Json>| value.and_then(Json::as_object).cloned().unwrap_or_default();
        let pairs = |value: Option<&Json>| -> Vec<(String, String)> {
            object(value)
                .into_iter()
                .map(|(name, value)| match value {
                    Json::String(text) => (name, text),
                    other => (name, other.to_string()),
                })
                .collect()
        };
        let parameters = object(json.get("params"));
        Self {
            body: json
                .get("body")
                .and_then(Json::as_str)
                .map(ToOwned::to_owned),
            path: pairs(parameters.get("path")),
            query_string: pairs(parameters.get("querystring")),
            header: pairs(parameters.get("header")),
            stage_variables: pairs(json.get("stageVariables")),
            context: object(json.get("context")),
            variables: object(json.get("vars")),
        }
    }

    /// Takes this body instead.
    #[must_use]
    pub fn with_body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }

    /// The overrides a template starts with.
    pub fn overrides(&self) -> Overrides {
        let object = |name: &str| {
            self.context
                .get(name)
                .and_then(Json::as_object)
                .cloned()
                .unwrap_or_default()
        };
        Overrides::new(object("requestOverride"), object("responseOverride"))
    }

    /// What is handed to a template.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs {
            body: self.body.as_deref(),
            path: &self.path,
            query_string: &self.query_string,
            header: &self.header,
            stage_variables: &self.stage_variables,
            context: &self.context,
            variables: Some(&self.variables),
        }
    }
}
