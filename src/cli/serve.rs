//! `tollgate serve`: answers requests until it is told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::common::LogFormat;
use super::{Loaded, ServeOptions, load, print, routes, say, signals};
use crate::admin::AdminListener;
use crate::base::Clock;
use crate::function::Functions;
use crate::gateway::Gateway;
use crate::limit::Limits;
use crate::model::ApiKind;
use crate::plan::Plan;
use crate::server::{Beside, Extras, Listeners, Options, assemble, open_limits, serve, service};
use crate::source::{Diagnostic, Severity};

/// Serve APIs on this machine
///
/// The first definition answers at the bare address, every one at
/// http://{apiId}.execute-api.localhost:PORT/{stage}/… Ctrl-C ends it once
/// requests under way have ended.
#[derive(Args, Debug)]
pub struct Serve {
    /// What is served, and how.
    #[command(flatten)]
    pub options: ServeOptions,
}

impl Serve {
    /// Serves until Ctrl-C or SIGTERM.
    ///
    /// # Errors
    ///
    /// Where there is nothing to read, or the port cannot be had.
    pub(super) fn run(self) -> Result<ExitCode> {
        start_logs(self.options.log_format);
        let runtime = runtime()?;
        let inside = runtime.enter();
        let Some(ready) = Ready::prepare(&self.options)? else {
            return Ok(ExitCode::FAILURE);
        };
        drop(inside);
        runtime.block_on(async {
            let listeners = Listeners::bind(self.options.chosen_host(), self.options.port).await?;
            self.options.auth.check_addresses(listeners.addresses())?;
            let admin = ready.bind_admin(&self.options, &listeners).await?;
            let admin_address = admin.as_ref().map(AdminListener::address);
            let addresses = listeners.addresses();
            match self.options.log_format {
                LogFormat::Json => print(&ready.json_line(addresses, admin_address))?,
                LogFormat::Pretty => print(&ready.welcome(addresses, admin_address))?,
            }
            ready.serve(listeners, admin, signals::stop_asked()).await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// The runtime that serves.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the machine gives no more threads; end some programs and try again")
}

/// What is logged where `RUST_LOG` says nothing. The SDK tells of each place where
/// it finds no credentials; the gateway's own line says it once, with the remedy.
const QUIET: &str = "warn,tollgate=info,aws_config=off,aws_credential_types=off,aws_runtime=off";

/// Sends logs to stderr; `RUST_LOG` says which.
pub(super) fn start_logs(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
        LogFormat::Pretty => {
            let colour = super::colour(&std::io::stderr());
            logs.with_ansi(colour).with_target(false).try_init()
        }
    };
    // Another subscriber is there already: an embedding program's choice stands.
    drop(started);
}

/// Everything that serving takes, but the port.
pub(super) struct Ready {
    loaded: Loaded,
    plan: Plan,
    functions: Functions,
}

impl Ready {
    /// Reads and compiles. `None` where a finding forbids to serve; all of them have been said.
    pub(super) fn prepare(options: &ServeOptions) -> Result<Option<Self>> {
        let mut loaded = load(&options.common)?;
        match options.log_format {
            LogFormat::Pretty => loaded.say_notes(),
            LogFormat::Json => loaded
                .notes
                .iter()
                .for_each(|note| tracing::info!("{note}")),
        }
        loaded.settings.strict_aws = options.strict_aws;
        options.auth.put_over(&mut loaded.settings)?;
        let limits = if loaded.diagnostics.has_errors() {
            None
        } else {
            Some(Arc::new(open_limits(&loaded.settings, Clock::System)?))
        };
        let (plan, functions) = loaded.assemble(
            options.profile.clone(),
            options.lambda_endpoint.clone(),
            limits,
        );
        if options.common.lenient {
            loaded.diagnostics.lenient();
        }
        loaded.diagnostics.sort();
        let refused = match options.log_format {
            LogFormat::Pretty => loaded.say_findings(Severity::Warning),
            LogFormat::Json => {
                let findings = loaded
                    .diagnostics
                    .iter()
                    .filter(|finding| finding.severity >= Severity::Warning);
                findings
                    .for_each(|finding| say(&crate::source::json_line(finding, &loaded.sources)));
                loaded.diagnostics.has_errors()
            }
        };
        if refused {
            if loaded.diagnostics.iter().any(|finding| finding.unsupported) {
                say(
                    "tollgate: --lenient serves what is supported; routes whose protection is not answer 500",
                );
            }
            return Ok(None);
        }
        Ok(Some(Self {
            loaded,
            plan,
            functions,
        }))
    }

    /// Serves until `stop` is done; then ends requests under way and functions.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub(super) async fn serve(
        self,
        listeners: Listeners,
        admin: Option<AdminListener>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        let gateway = Gateway::new(self.plan, Clock::System);
        let beside = Beside::begin(&gateway, admin).await?;
        let ended = serve(listeners, service(gateway), Options::default(), stop).await;
        tracing::debug!(?ended, "stopped");
        self.functions.shutdown().await;
        beside.end().await;
        Ok(())
    }

    /// The control plane's socket, beside the gateway's.
    ///
    /// # Errors
    ///
    /// Where the port cannot be had.
    pub(super) async fn bind_admin(
        &self,
        options: &ServeOptions,
        listeners: &Listeners,
    ) -> Result<Option<AdminListener>> {
        let configured = self.loaded.settings.admin;
        let port = listeners.addresses().first().map_or(0, SocketAddr::port);
        let port = options.chosen_admin_port(configured.port, port);
        Ok(AdminListener::bind(configured.host, port).await?)
    }

    /// The table of routes and where they are, for people.
    fn welcome(&self, addresses: &[SocketAddr], admin: Option<SocketAddr>) -> String {
        let mut text = routes::table(&self.loaded.apis);
        let port = addresses.first().map_or(0, SocketAddr::port);
        for (index, api) in self.plan.apis.iter().enumerate() {
            let facts = &api.facts;
            let kind = match facts.kind {
                ApiKind::Rest => "REST",
                ApiKind::Http => "HTTP",
            };
            let title = &self.loaded.apis[index].title;
            let stage = match facts.stage.as_str() {
                "$default" => String::new(),
                stage => format!("/{stage}"),
            };
            let address = format!(
                "http://{}.execute-api.localhost:{port}{stage}",
                facts.api_id
            );
            text.push_str(&match (index, addresses.first()) {
                (0, Some(first)) => {
                    let bare = if facts.kind == ApiKind::Http { stage.as_str() } else { "" };
                    format!("\n{title} ({kind} API, stage {}): http://{first}{bare}\n  also {address}\n", facts.stage)
                }
                _ => format!("\n{title} ({kind} API, stage {}): {address}\n", facts.stage),
            });
        }
        if let Some(admin) = admin {
            text.push_str(&format!(
                "\nAPI keys and usage plans: aws apigateway … --endpoint-url http://{admin}\n"
            ));
            for pool in self.plan.user_pools.iter() {
                let clients: Vec<_> = pool
                    .clients()
                    .into_iter()
                    .map(|one| one.client_id)
                    .collect();
                text.push_str(&format!(
                    "\nUser pool {}: aws cognito-idp … --endpoint-url http://{admin}\n  clients: {}; keys: http://{admin}/{}/.well-known/jwks.json\n",
                    pool.id(), clients.join(", "), pool.id()
                ));
            }
        }
        text
    }

    /// Where it listens, for scripts: one line of JSON.
    fn json_line(&self, addresses: &[SocketAddr], admin: Option<SocketAddr>) -> String {
        let port = addresses.first().map_or(0, SocketAddr::port);
        let apis: Vec<_> = self
            .plan
            .apis
            .iter()
            .zip(&self.loaded.apis)
            .map(|(plan, model)| {
                json!({
                    "id": plan.facts.api_id,
                    "title": model.title,
                    "type": match plan.facts.kind { ApiKind::Rest => "REST", ApiKind::Http => "HTTP" },
                    "stage": plan.facts.stage,
                    "host": format!("{}.execute-api.localhost:{port}", plan.facts.api_id),
                })
            })
            .collect();
        let line = json!({
            "message": "listening",
            "url": addresses.first().map(|address| format!("http://{address}")),
            "admin": admin.map(|address| format!("http://{address}")),
            "userPools": self.plan.user_pools.iter().map(|pool| pool.id()).collect::<Vec<_>>(),
            "addresses": addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>(),
            "apis": apis,
        });
        format!("{line}\n")
    }
}

impl Loaded {
    /// Compiles the plan; what is wrong joins the findings.
    pub(super) fn assemble(
        &mut self,
        profile: Option<String>,
        lambda_endpoint: Option<String>,
        limits: Option<Arc<Limits>>,
    ) -> (Plan, Functions) {
        if let Err(problem) = super::template::write_inline_code(&self.inline_code) {
            let finding = Diagnostic::error("E0003", format!("{problem:#}"));
            self.diagnostics.push(finding);
        }
        let directories = self.directories.clone();
        let extras = Extras {
            profile,
            lambda_endpoint,
            directories,
            limits,
            ..Extras::default()
        };
        let (plan, functions) = assemble(&self.apis, &self.settings, extras, &mut self.diagnostics);
        for (key, why) in functions.faults() {
            let message = format!("the function `{key}` cannot be started: {why}");
            let mut finding = Diagnostic::warning("W0910", message);
            if let Some(settings) = self.settings.functions.get(key) {
                finding = finding.at(settings.span);
            }
            self.diagnostics.push(finding);
        }
        (plan, functions)
    }
}
