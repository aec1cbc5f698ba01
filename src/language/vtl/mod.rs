//! Mapping templates: the Velocity Template Language as API Gateway runs it.
//!
//! A template is parsed once ([`Template::parse`]) and rendered for each
//! request ([`Template::render`]). It sees `$input`, `$util`, `$context` and
//! `$stageVariables`; what it sets under `$context.requestOverride` and
//! `$context.responseOverride` ends up in [`Overrides`].
//!
//! The language is that of Apache Velocity 1.7, with the changes AWS made to
//! it: nothing is the empty text, `#macro` and `#evaluate` do not exist.
//! Rendering is pure and bounded in output, memory, steps and nesting.
//!
//! The way of a template: `lexer` cuts it into tokens, `syntax` reads them as a
//! tree, `compiler` makes a `program` of it, `render` runs that on values, whose
//! methods are in `methods`.
//!
//! Source of the rules: developer guide, "Mapping template and access logging
//! variable reference for API Gateway"; Apache Velocity 1.7.

pub mod cases;
mod compiler;
mod context;
mod evaluate;
mod input;
mod json;
mod json_values;
mod lexer;
mod methods;
mod number;
mod output;
mod patterns;
mod program;
mod render;
mod syntax;
mod token;
mod util_functions;
mod value;

pub use context::{ContextVariables, Overrides};
pub use input::NameValues;
pub use value::Value;

/// The longest template in bytes: "Amazon API Gateway quotas".
pub const TEMPLATE_LIMIT: usize = 300 * 1024;

/// A template, ready to be rendered by any number of threads.
#[derive(Debug)]
pub struct Template {
    program: program::Program,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line}, column {column})")]
pub struct ParseError {
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
}

/// Why a template gave no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RenderError {
    /// What went wrong.
    pub message: String,
    /// Where the failing piece begins in the template, in bytes, where known.
    pub offset: Option<usize>,
}

/// What a template sees of a request.
///
/// Everything is borrowed; nothing is read before the template asks for it.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The payload behind `$input`, as text; none or empty counts as `{}`.
    pub body: Option<&'a str>,
    /// Path parameters.
    pub path: &'a dyn NameValues,
    /// Query string parameters, decoded.
    pub query_string: &'a dyn NameValues,
    /// Headers; names are compared exactly.
    pub header: &'a dyn NameValues,
    /// `$stageVariables`
    pub stage_variables: &'a dyn NameValues,
    /// `$context`
    pub context: &'a dyn ContextVariables,
    /// Further variables; only the case runner has some.
    pub variables: Option<&'a serde_json::Map<String, serde_json::Value>>,
}

impl Default for Inputs<'_> {
    fn default() -> Self {
        Self {
            body: None,
            path: &(),
            query_string: &(),
            header: &(),
            stage_variables: &(),
            context: &(),
            variables: None,
        }
    }
}

impl std::fmt::Debug for Inputs<'_> {
    /// Bodies and parameters may be secret; they are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs").finish_non_exhaustive()
    }
}

impl Template {
    /// Parses a template. White space is kept as it is, at the ends too.
    ///
    /// # Errors
    ///
    /// When the text is too long or does not fit the grammar.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > TEMPLATE_LIMIT {
            return Err(ParseError {
                line: 1,
                column: 1,
                message: format!("a template may have {TEMPLATE_LIMIT} bytes"),
            });
        }
        match compiler::compile(text) {
            Ok(program) => Ok(Self { program }),
            Err(error) => {
                let (line, column) = line_and_column(text, error.offset);
                Err(ParseError {
                    line,
                    column,
                    message: error.message,
                })
            }
        }
    }

    /// Renders the template.
    ///
    /// # Errors
    ///
    /// When a method throws in Java, or a bound is passed. The overrides are
    /// then as they were.
    pub fn render(
        &self,
        inputs: &Inputs<'_>,
        overrides: &mut Overrides,
    ) -> Result<String, RenderError> {
        let (text, changed) = render::render(&self.program, inputs, overrides)?;
        if let Some(changed) = changed {
            *overrides = changed;
        }
        Ok(text)
    }
}

/// The line and the column, both from 1, of a byte offset.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests;
