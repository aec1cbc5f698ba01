//! `tollgate serve`: answers requests until it is told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use indexmap::IndexMap;
use serde_json::json;

use super::common::LogFormat;
use super::debug;
use super::reload::{Reloader, begin_watching};
use super::{Loaded, ServeOptions, load, print, routes, say, signals};
use crate::admin::AdminListener;
use crate::base::Clock;
use crate::function::Functions;
use crate::gateway::Gateway;
use crate::model::ApiKind;
use crate::observe::sink::{Destination, Sink};
use crate::observe::{Observer, Tracer, logs};
use crate::plan::Plan;
use crate::server::watch::Watcher;
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
        let _logs = start_logs(self.options.log_format, self.options.verbosity(), 0)?;
        let runtime = runtime()?;
        let inside = runtime.enter();
        let Some(ready) = Ready::prepare(&self.options, true)? else {
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

/// Writes what is left of the log when it is dropped.
pub(super) struct Logs(Arc<Sink>);

impl Drop for Logs {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Sends logs to stderr, as much as `-v`, `-q` and `RUST_LOG` say; `usual` where none
/// of them says anything, counted as `-v` is.
pub(super) fn start_logs(format: LogFormat, asked: i16, usual: i16) -> Result<Logs> {
    let rust_log = std::env::var("RUST_LOG").ok().filter(|log| !log.is_empty());
    let verbosity = match (asked, &rust_log) {
        (0, Some(_)) => 0,
        (asked, _) => asked + usual,
    };
    let sink = Sink::new(Destination::Stderr);
    sink.open()?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(logs::filter(verbosity, rust_log.as_deref()))
        .with_writer(logs::ToSink(Arc::clone(&sink)));
    let started = match format {
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
        LogFormat::Pretty => {
            let colour = super::colour(&std::io::stderr());
            logs.with_ansi(colour).event_format(logs::Pretty).try_init()
        }
    };
    // Another subscriber is there already: an embedding program's choice stands.
    drop(started);
    Ok(Logs(sink))
}

/// Everything that serving takes, but the port.
pub(super) struct Ready {
    options: ServeOptions,
    loaded: Loaded,
    plan: Plan,
    extras: Extras,
    watcher: Option<Watcher>,
}

impl Ready {
    /// Reads and compiles. `None` where a finding forbids to serve; all of them have been said.
    ///
    /// What is counted is kept beside the configuration, if `lasting` says so and that
    /// does not say where else.
    pub(super) fn prepare(options: &ServeOptions, lasting: bool) -> Result<Option<Self>> {
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
        } else if lasting {
            Some(Arc::new(loaded.open_limits()?))
        } else {
            Some(Arc::new(open_limits(&loaded.settings, Clock::System)?))
        };
        let tracer = Tracer::from_environment(&|name| std::env::var(name).ok())?;
        let extras = Extras {
            profile: options.profile.clone(),
            lambda_endpoint: options.lambda_endpoint.clone(),
            // Where files are wrong, that is to be said first.
            debuggers: match loaded.diagnostics.has_errors() {
                true => IndexMap::new(),
                false => debug::debuggers(options, &loaded)?,
            },
            observer: Arc::new(Observer::new(tracer)),
            ..Extras::default()
        };
        let (plan, _) = loaded.assemble(Extras {
            limits,
            ..extras.clone()
        });
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
        plan.observer.access_logs.open()?;
        Ok(Some(Self {
            options: options.clone(),
            watcher: begin_watching(options, &loaded),
            loaded,
            plan,
            extras,
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
        let observer = Arc::clone(&self.plan.observer);
        let gateway = Gateway::new(self.plan, Clock::System);
        let beside = Beside::begin(&gateway, admin).await?;
        for line in debug::lines(&self.extras.debuggers) {
            match self.options.log_format {
                LogFormat::Pretty => say(&format!("tollgate: {line}")),
                LogFormat::Json => tracing::info!("{line}"),
            }
        }
        gateway.plan().functions.warm_debugged();
        let reloader = Reloader::new(
            &self.options,
            gateway.clone(),
            self.extras,
            &self.loaded,
            self.watcher,
        );
        let reloading = tokio::spawn(reloader.run());
        let options = Options {
            metrics: Arc::clone(&observer.metrics.connections),
            ..Options::default()
        };
        let stop = async {
            let logs = &observer.access_logs;
            // Without files to reopen a hangup ends the program, as it does any.
            tokio::select! {
                () = stop => {}
                () = signals::each_hangup(|| logs.reopen()), if logs.has_files() => {}
            }
            observer.metrics.stop();
        };
        let ended = serve(listeners, service(gateway.clone()), options, stop).await;
        tracing::debug!(?ended, "stopped");
        reloading.abort();
        gateway.plan().functions.shutdown().await;
        beside.end().await;
        observer.close();
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
        for domain in &self.plan.domains {
            for mapping in &domain.mappings {
                let Some(api) = self
                    .plan
                    .apis
                    .iter()
                    .position(|api| api.facts.api_id == mapping.api_id)
                else {
                    continue;
                };
                let (name, title) = (&domain.name, &self.loaded.apis[api].title);
                let path = match mapping.path.as_str() {
                    "" => String::new(),
                    path => format!("/{path}"),
                };
                text.push_str(&format!(
                    "\n{name}{path} (custom domain) leads to {title}: curl -H 'Host: {name}' http://127.0.0.1:{port}{path}\n"
                ));
            }
        }
        for url in &self.plan.function_urls {
            let (id, function) = (&url.facts.api_id, url.function.name());
            text.push_str(&format!(
                "\n{function} (function URL): http://{id}.lambda-url.localhost:{port}\n"
            ));
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
            "functionUrls": self.plan.function_urls.iter().map(|url| json!({
                "function": url.function.name(),
                "id": url.facts.api_id,
                "host": format!("{}.lambda-url.localhost:{port}", url.facts.api_id),
            })).collect::<Vec<_>>(),
        });
        format!("{line}\n")
    }
}

impl Loaded {
    /// Compiles the plan; what is wrong joins the findings.
    pub(super) fn assemble(&mut self, extras: Extras) -> (Plan, Functions) {
        if let Err(problem) = super::template::write_inline_code(&self.inline_code) {
            let finding = Diagnostic::error("E0003", format!("{problem:#}"));
            self.diagnostics.push(finding);
        }
        let extras = Extras {
            directories: self.directories.clone(),
            logical_ids: self.function_ids.clone(),
            ..extras
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
