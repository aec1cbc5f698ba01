//! `tollgate invoke`: one call of one function, without a gateway.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use base64::Engine;
use clap::Args;
use serde_json::{Value as Json, json};

use super::common::LogFormat;
use super::serve::{runtime, start_logs};
use super::{Common, Loaded, load, print, say};
use crate::base::FunctionArn;
use crate::function::{Invocation, InvocationType};
use crate::server::{Extras, place};
use crate::source::{Severity, nearest};

/// Call one function and print its answer
///
/// Starts the function's process alone, as the configuration or the template says; its
/// log goes to stderr. Ends with 1 where the function fails.
#[derive(Args, Debug)]
pub struct Invoke {
    /// The function: its name, ARN or logical id, with `:QUALIFIER` if need be
    #[arg(value_name = "FUNCTION")]
    function: String,

    /// Which definitions are read, and how.
    #[command(flatten)]
    pub common: Common,

    /// File of the event, JSON; `-` for stdin [default: an empty object]
    #[arg(long, short, value_name = "FILE")]
    event: Option<PathBuf>,

    /// File of the client context, JSON
    #[arg(long, value_name = "FILE")]
    client_context: Option<PathBuf>,

    /// Print one line of JSON: {"functionError", "payload", "durationMs"}
    #[arg(long)]
    json: bool,
}

impl Invoke {
    /// Calls the function; its answer goes to stdout.
    ///
    /// # Errors
    ///
    /// Where there is nothing to read, no such function, or it cannot be called.
    pub(super) fn run(mut self) -> Result<ExitCode> {
        let _logs = start_logs(LogFormat::Pretty, 0, 0)?;
        self.common.only_functions = true;
        let payload = self.payload()?;
        let client_context = self.client_context()?;
        let loaded = load(&self.common)?;
        super::template::write_inline_code(&loaded.inline_code)?;
        // A nested stack's function has a path, which is no name that Lambda knows.
        let mut ids = loaded.function_ids.iter();
        let by_path = ids.find(|(_, id)| id.contains('/') && **id == self.function);
        let named = by_path.map_or(&self.function, |(name, _)| name);
        let Some(arn) = FunctionArn::parse(named) else {
            bail!("`{}` is no function's name or ARN", self.function);
        };
        runtime()?.block_on(async {
            let extras = Extras {
                logical_ids: loaded.function_ids.clone(),
                ..Extras::default()
            };
            let functions = place(&loaded.settings, extras);
            let Some(function) = functions.find(&arn) else {
                // What is wrong with the files may be why.
                loaded.say_findings(Severity::Error);
                bail!("{}", unknown(&loaded, &arn.name));
            };
            if !function.has_qualifier() {
                let qualifier = arn.qualifier.as_deref().unwrap_or_default();
                bail!(
                    "the function `{}` has no alias or version `{qualifier}`; `qualifiers: [{qualifier}]` in \
                     tollgate.yaml declares it",
                    function.name()
                );
            }
            let invocation = Invocation {
                payload,
                invocation_type: InvocationType::RequestResponse,
                qualifier: function.qualifier.clone(),
                trace_id: None,
                client_context,
            };
            let begun = tokio::time::Instant::now();
            let called = function.invoke(invocation).await;
            let took = begun.elapsed();
            functions.shutdown().await;
            let outcome = called?;
            if self.json {
                let text = String::from_utf8_lossy(&outcome.payload);
                let payload = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
                let line = json!({
                    "functionError": outcome.function_error,
                    "payload": payload,
                    "durationMs": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                });
                print(&format!("{line}\n"))?;
            } else {
                print(&format!("{}\n", String::from_utf8_lossy(&outcome.payload)))?;
            }
            Ok(match outcome.function_error {
                None => ExitCode::SUCCESS,
                Some(kind) => {
                    say(&format!("tollgate: the function failed ({kind})"));
                    ExitCode::FAILURE
                }
            })
        })
    }

    fn payload(&self) -> Result<bytes::Bytes> {
        let bytes = match &self.event {
            None => b"{}".to_vec(),
            Some(path) if path.as_os_str() == "-" => {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .read_to_end(&mut bytes)
                    .context("the event cannot be read from stdin")?;
                bytes
            }
            Some(path) => std::fs::read(path)
                .with_context(|| format!("the event's file {} cannot be read", path.display()))?,
        };
        serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).context("the event is no JSON")?;
        Ok(bytes.into())
    }

    /// As Lambda's API takes it: base64 of JSON.
    fn client_context(&self) -> Result<Option<String>> {
        let Some(path) = &self.client_context else {
            return Ok(None);
        };
        let text = std::fs::read(path)
            .with_context(|| format!("the client context {} cannot be read", path.display()))?;
        serde_json::from_slice::<Json>(&text).context("the client context is no JSON")?;
        Ok(Some(base64::engine::general_purpose::STANDARD.encode(text)))
    }
}

/// That there is no such function, and which there are.
pub(super) fn unknown(loaded: &Loaded, name: &str) -> String {
    let functions = &loaded.settings.functions;
    let mut known: Vec<&str> = functions.keys().map(String::as_str).collect();
    for (function, id) in &loaded.function_ids {
        if functions.contains_key(function) && !known.contains(&id.as_str()) {
            known.push(id);
        }
    }
    let which = match (nearest(name, known.iter().copied()), known.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => "the configuration and the templates place none".to_owned(),
        (None, known) => format!("there are {}", known.join(", ")),
    };
    format!("there is no function `{name}` here: {which}")
}
