//! `tollgate config`: the settings in force, and where each comes from.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value as Json, json};

use super::common::{LogFormat, Origin, ServeOptions};
use super::load::Effective;
use super::{Loaded, load, print};
use crate::source::{Severity, Sources};

/// Print the effective settings and where each comes from
///
/// Flags beat TOLLGATE_* variables beat the configuration file beats defaults.
#[derive(Args, Debug)]
pub struct Config {
    /// What `tollgate serve` takes.
    #[command(flatten)]
    pub options: ServeOptions,

    /// Print JSON: an object of settings, each with `value` and `origin`
    #[arg(long, env = "TOLLGATE_JSON")]
    json: bool,
}

impl Config {
    /// Prints the settings on stdout.
    ///
    /// # Errors
    ///
    /// Where there is nothing to read.
    pub(super) fn run(self) -> Result<ExitCode> {
        let loaded = load(&self.options.common)?;
        loaded.say_notes();
        let broken = loaded.say_findings(Severity::Error);
        let settings = self.settings(&loaded);
        let text = if self.json {
            as_json(&settings, &loaded.sources)
        } else {
            as_table(&settings, &loaded.sources)
        };
        print(&text)?;
        Ok(if broken {
            ExitCode::from(1)
        } else {
            ExitCode::SUCCESS
        })
    }

    /// What was read, and what only `serve` itself takes.
    fn settings(&self, loaded: &Loaded) -> Vec<Effective> {
        let options = &self.options;
        let of_serve = |key: &str, id: &str, value: Json| Effective {
            key: key.to_owned(),
            value,
            origin: options
                .common
                .origins
                .get(id)
                .cloned()
                .unwrap_or(Origin::Default),
        };
        let log_format = match options.log_format {
            LogFormat::Pretty => "pretty",
            LogFormat::Json => "json",
        };
        let mut settings = loaded.effective.clone();
        settings.extend([
            of_serve("host", "host", json!(options.host)),
            of_serve("port", "port", json!(options.port)),
            of_serve("profile", "profile", json!(options.profile)),
            of_serve(
                "lambdaEndpoint",
                "lambda_endpoint",
                json!(options.lambda_endpoint),
            ),
            of_serve(
                "adminPort",
                "admin_port",
                json!(options.admin_port.map(|port| port.to_string())),
            ),
            of_serve("userPool", "user_pool", json!(options.auth.user_pool)),
            of_serve("noAuth", "no_auth", json!(options.auth.no_auth)),
            of_serve(
                "claims",
                "claims",
                json!(
                    options
                        .auth
                        .claims
                        .as_ref()
                        .map(|path| path.display().to_string())
                ),
            ),
            of_serve("strictAws", "strict_aws", json!(options.strict_aws)),
            of_serve("logFormat", "log_format", json!(log_format)),
        ]);
        settings
    }
}

fn origin(origin: &Origin, sources: &Sources) -> String {
    match origin {
        Origin::Flag(name) => format!("flag {name}"),
        Origin::Environment(name) => format!("environment {name}"),
        Origin::File(span) => {
            let place = sources.location(*span);
            format!("file {}:{}", place.path.display(), place.line)
        }
        Origin::Default => "default".to_owned(),
    }
}

fn as_table(settings: &[Effective], sources: &Sources) -> String {
    let rows: Vec<[String; 3]> = settings
        .iter()
        .map(|setting| {
            let value = match &setting.value {
                Json::Null => "-".to_owned(),
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            [setting.key.clone(), value, origin(&setting.origin, sources)]
        })
        .collect();
    super::routes::aligned(["SETTING", "VALUE", "FROM"], &rows)
}

fn as_json(settings: &[Effective], sources: &Sources) -> String {
    let object: serde_json::Map<String, Json> = settings
        .iter()
        .map(|setting| {
            let entry = json!({
                "value": setting.value,
                "origin": origin(&setting.origin, sources),
            });
            (setting.key.clone(), entry)
        })
        .collect();
    format!("{:#}\n", Json::Object(object))
}
