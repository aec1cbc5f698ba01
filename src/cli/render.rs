//! `tollgate render`: a mapping template tried without a gateway, or many of
//! them held against their expected outputs.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::language::vtl::cases::{self, CaseOutcome, Sight, Summary};
use crate::language::vtl::{ParseError, Template, line_and_column};

/// Render a mapping template, or check templates against expected outputs
#[derive(Args, Debug)]
pub struct Render {
    /// Mapping template to render; `-` is standard input
    #[arg(value_name = "TEMPLATE", required_unless_present = "cases")]
    template: Option<PathBuf>,

    /// File with the payload behind $input
    #[arg(long, value_name = "FILE", conflicts_with = "cases")]
    body: Option<PathBuf>,

    /// JSON file with what the template sees: params (path, querystring,
    /// header), context, stageVariables, vars, body
    #[arg(long, value_name = "FILE", conflicts_with = "cases")]
    context: Option<PathBuf>,

    /// Files of cases to run, one JSON object a line
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "template")]
    cases: Vec<PathBuf>,
}

impl Render {
    /// Prints the text, or the differences; what went wrong goes to stderr.
    ///
    /// The exit code is 1 if the template cannot be parsed or rendered, or a
    /// case failed.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or the output cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match &self.template {
            Some(template) => self.render(template),
            None => run_cases(&self.cases),
        }
    }

    fn render(&self, file: &Path) -> anyhow::Result<ExitCode> {
        let text = read(file)?;
        let json = match &self.context {
            Some(file) => serde_json::from_str(&read(file)?)
                .with_context(|| format!("{} is no JSON", file.display()))?,
            None => serde_json::Value::Null,
        };
        let mut sight = Sight::read(&json);
        if let Some(body) = &self.body {
            sight = sight.with_body(read(body)?);
        }
        let mut overrides = sight.overrides();
        let template = match Template::parse(&text) {
            Ok(template) => template,
            Err(ParseError {
                line,
                column,
                message,
            }) => {
                complain(file, &text, Some((line, column)), &message)?;
                return Ok(ExitCode::FAILURE);
            }
        };
        match template.render(&sight.inputs(), &mut overrides) {
            Ok(rendered) => {
                std::io::stdout().lock().write_all(rendered.as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                let place = error.offset.map(|offset| line_and_column(&text, offset));
                complain(file, &text, place, &error.message)?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("standard input cannot be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// Writes an error with its place and the line it is in to stderr.
fn complain(
    file: &Path,
    text: &str,
    place: Option<(usize, usize)>,
    message: &str,
) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    writeln!(out, "error: {message}")?;
    let Some((line, column)) = place else {
        return writeln!(out, "  --> {}", file.display());
    };
    writeln!(out, "  --> {}:{line}:{column}", file.display())?;
    let source = text.lines().nth(line - 1).unwrap_or_default();
    // A long line is cut around the place.
    let start = column.saturating_sub(60);
    let excerpt: String = source.chars().skip(start).take(120).collect();
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    writeln!(out, "{margin} |")?;
    writeln!(out, "{number} | {excerpt}")?;
    let before: String = source
        .chars()
        .skip(start)
        .take(column - 1 - start.min(column - 1))
        .map(|character| if character == '\t' { '\t' } else { ' ' })
        .collect();
    writeln!(out, "{margin} | {before}^")
}

fn run_cases(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut summary = Summary::default();
    for file in files {
        let results = cases::run(&read(file)?);
        summary.add(&results);
        for result in &results {
            if let CaseOutcome::Failed {
                template,
                expected,
                actual,
            } = &result.outcome
            {
                writeln!(out, "{}", result.name)?;
                writeln!(out, "  template: {}", visible(template))?;
                writeln!(out, "  expected: {}", visible(expected))?;
                writeln!(out, "  actual:   {}", visible(actual))?;
            }
        }
    }
    writeln!(out, "{summary}")?;
    Ok(if summary.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Text with its white space to be seen: `·` a blank, `→` a tab, `⏎` a line
/// end, `␍` a carriage return.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            ' ' => shown.push('·'),
            '\t' => shown.push('→'),
            '\r' => shown.push('␍'),
            '\n' => shown.push_str("⏎\n            "),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_can_be_seen() {
        assert_eq!(visible("a b\tc"), "a·b→c");
    }
}
