//! The gateway inside another program, such as a test.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::assemble::{Extras, assemble, open_limits};
use super::{Beside, BindError, Ended, Listeners, Options, serve};
use crate::admin::{AdminListener, AdminPort, BindAdminError};
use crate::base::Clock;
use crate::definition::{openapi, settings};
use crate::function::handler::Handler;
use crate::gateway::Gateway;
use crate::model::settings::Settings;
use crate::observe::sink::SinkError;
use crate::source::{Diagnostics, FileId, Sources};
use crate::store::StoreError;

impl Gateway {
    /// Begins a gateway from a definition, to embed it in a program or a test.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tollgate::Gateway;
    ///
    /// let gateway = Gateway::builder()
    ///     .openapi_text(
    ///         r#"
    ///         openapi: 3.0.1
    ///         info: {title: orders, version: "1"}
    ///         paths:
    ///           /orders/{id}:
    ///             get:
    ///               parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    ///               x-amazon-apigateway-integration: {type: http_proxy, uri: "local:orders"}
    ///         "#,
    ///     )
    ///     .handler("orders", |request: http::Request<bytes::Bytes>| async move {
    ///         format!("you asked for {}", request.uri().path())
    ///     })
    ///     .spawn()
    ///     .await?;
    ///
    /// let answer = reqwest::get(format!("{}/orders/7", gateway.url())).await?.text().await?;
    /// assert_eq!(answer, "you asked for /orders/7");
    ///
    /// gateway.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Puts a gateway together. See [`Gateway::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    definitions: Vec<Text>,
    config: Option<Text>,
    extras: Extras,
    clock: Clock,
    port: u16,
    lenient: bool,
    strict_aws: bool,
    admin: Option<AdminPort>,
    options: Options,
}

/// A document: a file, or its text.
#[derive(Debug)]
enum Text {
    File(PathBuf),
    Here(String),
}

/// Why a gateway could not be put together. `Display` says where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The definition or the configuration is wrong; the findings as text.
    #[error("the gateway cannot be built:\n{0}")]
    Definition(String),
    /// The port cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The control plane's port cannot be had.
    #[error(transparent)]
    BindAdmin(#[from] BindAdminError),
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An access log cannot be opened.
    #[error(transparent)]
    AccessLog(#[from] SinkError),
}

impl Builder {
    /// Serves an OpenAPI document. May be called again: the first is also at the bare address.
    #[must_use]
    pub fn openapi(mut self, path: impl AsRef<Path>) -> Self {
        self.definitions.push(Text::File(path.as_ref().to_owned()));
        self
    }

    /// Serves an OpenAPI document that is given as text.
    #[must_use]
    pub fn openapi_text(mut self, text: impl Into<String>) -> Self {
        self.definitions.push(Text::Here(text.into()));
        self
    }

    /// Reads the gateway's configuration (`tollgate.yaml`) from a file.
    #[must_use]
    pub fn config(mut self, path: impl AsRef<Path>) -> Self {
        self.config = Some(Text::File(path.as_ref().to_owned()));
        self
    }

    /// Takes the gateway's configuration from text.
    #[must_use]
    pub fn config_text(mut self, text: impl Into<String>) -> Self {
        self.config = Some(Text::Here(text.into()));
        self
    }

    /// Registers a handler: `uri: local:NAME` and a function's `handler: "local:NAME"` call it.
    #[must_use]
    pub fn handler(mut self, name: impl Into<String>, handler: impl Handler) -> Self {
        self.extras.handlers.insert(name, Arc::new(handler));
        self
    }

    /// Where Lambda's Invoke API is, instead of at AWS.
    #[must_use]
    pub fn lambda_endpoint(mut self, url: impl Into<String>) -> Self {
        self.extras.lambda_endpoint = Some(url.into());
        self
    }

    /// The time that requests see.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The port on loopback; by default a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Serves a definition that asks for more than the gateway does: what is not
    /// done is passed over, a route whose protection is not done answers 500.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Answers carry nothing that AWS's do not.
    #[must_use]
    pub fn strict_aws(mut self) -> Self {
        self.strict_aws = true;
        self
    }

    /// Serves the control plane, too; by default it is off.
    #[must_use]
    pub fn admin_port(mut self, port: AdminPort) -> Self {
        self.admin = Some(port);
        self
    }

    /// How patient and how generous the listener is.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Reads, compiles, listens on loopback and serves in tasks of its own.
    ///
    /// # Errors
    ///
    /// What is wrong with the definition or the configuration, or the port.
    pub async fn spawn(self) -> Result<Running, BuildError> {
        let gateway = self.read()?;
        let listeners = Listeners::bind(Some("127.0.0.1"), self.port).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let address = listeners.addresses().first().copied();
        let admin = AdminListener::bind(None, self.admin.unwrap_or(AdminPort::Off)).await?;
        let admin_address = admin.as_ref().map(AdminListener::address);
        let beside = Beside::begin(&gateway, admin).await?;
        let observer = Arc::clone(&gateway.plan().observer);
        observer.access_logs.open()?;
        let service = service(gateway.clone());
        let mut options = self.options;
        options.metrics = Arc::clone(&observer.metrics.connections);
        let shutdown = async move {
            // A dropped sender means stop as well.
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listeners, service, options, shutdown));
        Ok(Running {
            gateway,
            address,
            admin_address,
            beside: Some(beside),
            stop: Some(stop),
            task: Some(task),
        })
    }

    fn read(&self) -> Result<Gateway, BuildError> {
        let mut sources = Sources::new();
        let mut findings = Diagnostics::default();
        let mut extras = self.extras.clone();
        let mut settings = match &self.config {
            None => Settings::default(),
            Some(text) => add(&mut sources, text, "tollgate.yaml", &mut findings)
                .map(|file| settings::read(&sources, file, &mut findings).settings)
                .unwrap_or_default(),
        };
        settings.strict_aws |= self.strict_aws;
        let mut apis = Vec::new();
        for definition in &self.definitions {
            let Some(file) = add(&mut sources, definition, "openapi.yaml", &mut findings) else {
                continue;
            };
            if let Some(api) = openapi::read(&mut sources, file, &settings, &mut findings) {
                apis.push(api);
                extras.directories.push(directory(definition));
            }
        }
        if !findings.has_errors() {
            extras.limits = Some(Arc::new(open_limits(&settings, self.clock.clone())?));
        }
        let (plan, _) = assemble(&apis, &settings, extras, &mut findings);
        if self.lenient {
            findings.lenient();
        }
        if findings.has_errors() {
            return Err(BuildError::Definition(findings.draw(&sources, false)));
        }
        Ok(Gateway::new(plan, self.clock.clone()))
    }
}

fn add(
    sources: &mut Sources,
    text: &Text,
    name: &str,
    findings: &mut Diagnostics,
) -> Option<FileId> {
    match text {
        Text::Here(text) => Some(sources.add_text(name, text.clone())),
        Text::File(path) => match sources.add_path(path) {
            Ok(file) => Some(file),
            Err(finding) => {
                findings.push(*finding);
                None
            }
        },
    }
}

fn directory(text: &Text) -> PathBuf {
    match text {
        Text::File(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
        Text::Here(_) => PathBuf::from("."),
    }
}

/// The gateway as a server's service.
pub fn service(gateway: Gateway) -> impl super::Service {
    let gateway = Arc::new(gateway);
    move |request| {
        let gateway = Arc::clone(&gateway);
        // Boxed: it is large, and what is around it would be copied with all of it.
        Box::pin(async move { gateway.answer_with_lines(request).await })
    }
}

/// A gateway that serves until it is shut down or dropped.
#[derive(Debug)]
pub struct Running {
    gateway: Gateway,
    address: Option<SocketAddr>,
    admin_address: Option<SocketAddr>,
    beside: Option<Beside>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Ended>>,
}

impl Running {
    /// Where it answers: `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        self.address
            .map(|address| format!("http://{address}"))
            .unwrap_or_default()
    }

    /// Where the control plane answers, if it does.
    pub fn admin_url(&self) -> Option<String> {
        self.admin_address
            .map(|address| format!("http://{address}"))
    }

    /// The gateway behind it.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Stops accepting, lets requests under way end, ends the functions' processes.
    pub fn shutdown(mut self) -> impl Future<Output = ()> + Send {
        drop(self.stop.take());
        let (task, gateway) = (self.task.take(), self.gateway.clone());
        let beside = self.beside.take();
        let observer = Arc::clone(&self.gateway.plan().observer);
        async move {
            if let Some(task) = task {
                let _ = task.await;
            }
            if let Some(beside) = beside {
                beside.end().await;
            }
            gateway.plan().functions.shutdown().await;
            // It waits for a thread; what is left to write is little.
            observer.close();
        }
    }
}
