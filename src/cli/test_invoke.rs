//! `tollgate test-invoke`: one request, and every step of its way.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;

use super::{Common, load, print};
use crate::base::{Body, Clock};
use crate::event::execution_log::{Line, header_map};
use crate::event::{ReceivedRequest, Scheme};
use crate::gateway::Gateway;
use crate::server::Extras;
use crate::source::Severity;

/// Send one request through an API, and print its execution log
///
/// Like the Test button of AWS's console: the method request, the request as
/// mapping templates make it, the endpoint's response, and what a client gets.
#[derive(Args, Debug)]
pub struct TestInvoke {
    /// OpenAPI document (YAML or JSON)
    #[arg(value_name = "DEFINITION")]
    definition: PathBuf,

    /// The method, in any letter case: GET
    #[arg(value_name = "METHOD")]
    method: String,

    /// The path with its query, without the stage: /pets/7?full=1
    #[arg(value_name = "PATH")]
    path: String,

    /// A header, `Name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The body; `@FILE` takes a file's content
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,

    /// The gateway's own configuration [default: tollgate.yaml beside the definition]
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    config: Option<PathBuf>,

    /// Name of the stage [default: dev]
    #[arg(long, value_name = "NAME", env = "TOLLGATE_STAGE", value_parser = super::common::stage_name)]
    stage: Option<String>,

    /// A stage variable; may be repeated
    #[arg(long = "stage-variable", value_name = "K=V")]
    stage_variables: Vec<super::common::StageVariables>,

    /// AWS profile for what is called at AWS
    #[arg(long, value_name = "PROFILE", env = "TOLLGATE_PROFILE")]
    profile: Option<String>,

    /// Address of a Lambda Invoke API for functions that are not configured
    #[arg(long, value_name = "URL", env = "TOLLGATE_LAMBDA_ENDPOINT")]
    lambda_endpoint: Option<String>,
}

impl TestInvoke {
    /// Sends the request; the log goes to stdout.
    ///
    /// # Errors
    ///
    /// Where there is nothing to read, or the request cannot be written.
    pub(super) fn run(self) -> Result<ExitCode> {
        let request = self.request()?;
        let common = Common {
            definitions: vec![self.definition.clone()],
            config: self.config.clone(),
            stage: self.stage.clone(),
            stage_variables: self.stage_variables.clone(),
            ..Common::default()
        };
        let mut loaded = load(&common)?;
        let (plan, functions) = loaded.assemble(Extras {
            profile: self.profile.clone(),
            lambda_endpoint: self.lambda_endpoint.clone(),
            ..Extras::default()
        });
        loaded.diagnostics.sort();
        if loaded.say_findings(Severity::Warning) {
            return Ok(ExitCode::FAILURE);
        }
        super::serve::runtime()?.block_on(async {
            let gateway = Gateway::new(plan, Clock::System);
            let began = tokio::time::Instant::now();
            let (response, lines) = gateway.test(Box::new(request)).await;
            let (parts, body) = response.into_parts();
            let body = http_body_util::BodyExt::collect(body)
                .await
                .map(http_body_util::Collected::to_bytes);
            let latency = began.elapsed().as_millis();
            functions.shutdown().await;
            let body = match &body {
                Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Err(error) => format!("[the body broke off: {error}]"),
            };
            print(&log_text(&lines))?;
            print(&format!(
                "\nRequest: {}\nStatus: {}\nLatency: {latency} ms\nResponse headers: {}\nResponse body:\n{body}\n",
                self.path,
                parts.status.as_u16(),
                header_map(&parts.headers),
            ))?;
            Ok(ExitCode::SUCCESS)
        })
    }

    fn request(&self) -> Result<ReceivedRequest> {
        let method = http::Method::from_bytes(self.method.to_ascii_uppercase().as_bytes())
            .with_context(|| format!("`{}` is no HTTP method", self.method))?;
        let (path, query) = match self.path.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (self.path.as_str(), None),
        };
        if !path.starts_with('/') || self.path.contains([' ', '#', '\n', '\r']) {
            bail!(
                "`{}` is no path: it begins with `/`, and characters such as a space are written as %20",
                self.path
            );
        }
        let body = match self.body.as_deref() {
            None => Bytes::new(),
            Some(text) => match text.strip_prefix('@') {
                Some(file) => std::fs::read(file)
                    .with_context(|| format!("the body's file {file} cannot be read"))?
                    .into(),
                None => Bytes::copy_from_slice(text.as_bytes()),
            },
        };
        let mut headers = Vec::new();
        for header in &self.headers {
            let (name, value) = header
                .split_once(':')
                .with_context(|| format!("`{header}` is no header; write it as `Name: value`"))?;
            let (name, value) = (name.trim(), value.trim());
            http::HeaderName::from_bytes(name.as_bytes())
                .with_context(|| format!("`{name}` is no header name"))?;
            http::HeaderValue::from_str(value)
                .with_context(|| format!("`{value}` is no header value"))?;
            headers.push((name, value.as_bytes()));
        }
        let host = "test-invoke.localhost";
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
        Ok(ReceivedRequest {
            method,
            path: path.to_owned(),
            query,
            headers: headers.into_iter().collect(),
            version: http::Version::HTTP_11,
            scheme: Scheme::Https,
            host: host.to_owned(),
            peer: here,
            local: here,
            malformed: None,
            body: Body::from(body),
        })
    }
}

/// The log as the console prints it.
fn log_text(lines: &[Line]) -> String {
    lines
        .iter()
        .map(|line| {
            let seconds = i64::try_from(line.at.as_secs()).unwrap_or(i64::MAX);
            let at = jiff::Timestamp::from_second(seconds)
                .map(|time| time.strftime("%a %b %d %H:%M:%S UTC %Y").to_string())
                .unwrap_or_default();
            format!("{at} : {}\n", line.text)
        })
        .collect()
}
