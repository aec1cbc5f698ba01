//! Reloading while serving: a whole new plan beside the old one, then the swap.
//!
//! A change of a definition, of a file it pulled in or of the configuration makes a
//! new plan. Where something is wrong with it the old one goes on, and what is wrong
//! is said. A change of a function's code replaces its processes alone. What a
//! running gateway cannot change is said to need a restart.

use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::common::LogFormat;
use super::{Loaded, ServeOptions, load, plural, say, signals};
use crate::gateway::Gateway;
use crate::model::settings::{FunctionPlace, FunctionSettings, Settings};
use crate::server::Extras;
use crate::server::watch::{Changes, Watched, Watcher, cannot_watch};
use crate::source::Severity;

/// Puts new plans in force.
pub(super) struct Reloader {
    options: ServeOptions,
    gateway: Gateway,
    /// What every plan is assembled with.
    extras: Extras,
    /// Of the start: what they say of listeners and store holds to the end.
    settings: Settings,
    watched: Watched,
    watcher: Option<Watcher>,
    /// The files on disk are not what is served.
    is_broken: bool,
    /// Findings that were said already.
    said: HashSet<String>,
}

impl Reloader {
    /// For a gateway that serves what `loaded` says.
    pub(super) fn new(
        options: &ServeOptions,
        gateway: Gateway,
        extras: Extras,
        loaded: &Loaded,
        watcher: Option<Watcher>,
    ) -> Self {
        let said = loaded.diagnostics.iter().map(identity).collect();
        Self {
            options: options.clone(),
            gateway,
            extras,
            settings: loaded.settings.clone(),
            watched: watched(loaded, options),
            watcher,
            is_broken: false,
            said,
        }
    }

    /// Reloads whenever a watched file changes, and at SIGHUP. Never ends by itself.
    pub(super) async fn run(mut self) {
        let mut watcher = self.watcher.take();
        let mut hangups = signals::Hangups::new();
        loop {
            let changes = tokio::select! {
                changes = changed(&mut watcher) => changes,
                () = hangups.next() => Changes {
                    files: self.watched.files.clone(),
                    ..Changes::default()
                },
            };
            // User input decides what runs in there: a panic must not end the watch.
            let done = catch_unwind(AssertUnwindSafe(|| {
                tokio::task::block_in_place(|| self.apply(&changes));
            }));
            if done.is_err() {
                tracing::error!("reloading failed; what was served goes on");
            }
            if let Some(watcher) = &mut watcher
                && let Err(error) = watcher.watch(self.watched.clone())
            {
                tracing::warn!("{}", cannot_watch(&error));
            }
        }
    }

    fn apply(&mut self, changes: &Changes) {
        if !changes.files.is_empty() {
            self.reload(&changes.files);
        }
        let functions = self.gateway.plan().functions.clone();
        for (function, file) in &changes.code {
            functions.renew(function);
            tracing::info!(
                function,
                "{} changed: its next call runs the new code",
                shown(file)
            );
        }
    }

    fn reload(&mut self, files: &BTreeSet<PathBuf>) {
        let names = names(files);
        let mut loaded = match load(&self.options.common) {
            Ok(loaded) => loaded,
            Err(error) => {
                self.is_broken = true;
                tracing::error!(
                    "{names} changed, and cannot be read: {error:#}; what was served before goes on"
                );
                return;
            }
        };
        loaded.settings.strict_aws = self.options.strict_aws;
        if let Err(error) = self.options.auth.put_over(&mut loaded.settings) {
            self.is_broken = true;
            tracing::error!("{error:#}; what was served before goes on");
            return;
        }
        let before = self.gateway.plan();
        let extras = Extras {
            limits: Some(Arc::clone(&before.limits)),
            functions: Some(before.functions.clone()),
            ..self.extras.clone()
        };
        let (plan, _) = loaded.assemble(extras);
        if self.options.common.lenient {
            loaded.diagnostics.lenient();
        }
        loaded.diagnostics.sort();
        // Also of a wrong file: it is mended in what it names.
        let mut watched = watched(&loaded, &self.options);
        if loaded.diagnostics.has_errors() {
            watched.files.extend(self.watched.files.iter().cloned());
            watched.code.clone_from(&self.watched.code);
        }
        self.watched = watched;
        self.say_findings(&loaded);
        if loaded.diagnostics.has_errors() {
            self.is_broken = true;
            tracing::error!(
                "{names} changed, and cannot be served; what was served before goes on"
            );
            return;
        }
        for setting in needs_restart(&self.settings, &loaded.settings) {
            tracing::warn!(
                "`{setting}` of the configuration has changed: it takes effect at the next start"
            );
        }
        let routes = plan.apis.iter().map(|api| api.routes.len()).sum();
        self.gateway.swap(plan);
        self.gateway.plan().functions.warm_debugged();
        let again = if std::mem::take(&mut self.is_broken) {
            "mended and "
        } else {
            ""
        };
        tracing::info!("{names}: {again}reloaded, {}", plural(routes, "route"));
    }

    /// Says errors, and warnings that are new.
    fn say_findings(&mut self, loaded: &Loaded) {
        let is_new = |severity, text: &String| {
            severity == Severity::Error
                || severity == Severity::Warning && !self.said.contains(text)
        };
        let findings = loaded
            .diagnostics
            .iter()
            .filter(|finding| is_new(finding.severity, &identity(finding)));
        let colour = super::colour(&std::io::stderr());
        for finding in findings {
            say(&match self.options.log_format {
                LogFormat::Pretty => crate::source::draw(finding, &loaded.sources, colour) + "\n",
                LogFormat::Json => crate::source::json_line(finding, &loaded.sources),
            });
        }
        self.said = loaded.diagnostics.iter().map(identity).collect();
    }
}

/// Watches what `loaded` was read from, where that is asked for.
///
/// To be called before anybody is told that the gateway serves: whoever saves a
/// file then relies on it.
pub(super) fn begin_watching(options: &ServeOptions, loaded: &Loaded) -> Option<Watcher> {
    if !options.watches() {
        return None;
    }
    let mut watcher = match Watcher::new() {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!("{}", cannot_watch(&error));
            return None;
        }
    };
    if let Err(error) = watcher.watch(watched(loaded, options)) {
        tracing::warn!("{}", cannot_watch(&error));
    }
    Some(watcher)
}

/// What tells a finding from others, wherever it stands.
fn identity(finding: &crate::source::Diagnostic) -> String {
    format!("{} {}", finding.code, finding.message)
}

async fn changed(watcher: &mut Option<Watcher>) -> Changes {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => std::future::pending().await,
    }
}

/// The files that were read or looked for, and the folders of code.
fn watched(loaded: &Loaded, options: &ServeOptions) -> Watched {
    let common = &options.common;
    let mut files: BTreeSet<PathBuf> = loaded.sources.wanted_paths().map(Path::to_owned).collect();
    files.extend(loaded.definitions.iter().cloned());
    files.extend(loaded.config.iter().cloned());
    files.extend(common.env_file.iter().cloned());
    files.extend(common.env_vars.iter().cloned());
    files.extend(options.auth.claims.iter().cloned());
    files.extend(loaded.values_files.iter().cloned());
    if loaded.config.is_none() {
        // One that is written later counts from then on.
        let folders = loaded.definitions.iter().take(1);
        let folders = folders.filter_map(|path| path.parent());
        files.extend(
            folders
                .chain([Path::new("")])
                .map(|folder| folder.join("tollgate.yaml")),
        );
    }
    let code = loaded
        .settings
        .functions
        .iter()
        .flat_map(|(key, function)| {
            code_of(function)
                .into_iter()
                .map(move |folder| (key.clone(), folder))
        })
        .collect();
    Watched { files, code }
}

/// Where the code of a local function is.
fn code_of(function: &FunctionSettings) -> Vec<PathBuf> {
    let mut code = own_code_of(function);
    code.extend(function.life.layers.iter().cloned());
    code
}

/// The same without its layers.
fn own_code_of(function: &FunctionSettings) -> Vec<PathBuf> {
    match &function.place {
        FunctionPlace::Runtime { code_uri, .. } => vec![code_uri.clone()],
        // Its program, and the folders of files among its arguments.
        FunctionPlace::Command {
            command,
            working_directory,
        } => command
            .iter()
            .enumerate()
            .filter_map(|(index, word)| {
                let is_path = Path::new(word).components().count() > 1 || index > 0;
                let path = working_directory.join(word);
                if !is_path || word.starts_with('-') || index > 0 && !path.is_file() {
                    return None;
                }
                Some(if index == 0 {
                    path
                } else {
                    path.parent().map_or(path.clone(), Path::to_owned)
                })
            })
            .collect(),
        FunctionPlace::Endpoint { .. } | FunctionPlace::Handler { .. } => Vec::new(),
    }
}

/// The settings that hold from the start to the end.
///
/// Takes the settings apart, so that a new one is not forgotten: what is bound to a
/// name counts from start to end, the others count anew with each plan.
fn needs_restart(start: &Settings, now: &Settings) -> Vec<&'static str> {
    let Settings {
        store,
        store_options,
        admin,
        region: _,
        account_id: _,
        api_type: _,
        api_id: _,
        stage_name: _,
        stage: _,
        throttle: _,
        functions: _,
        layers: _,
        authorizers: _,
        user_pools: _,
        local_user_pools: _,
        user_pool_for_all: _,
        no_auth: _,
        api_keys: _,
        usage_plans: _,
        iam_users: _,
        vpc_links: _,
        rate_limits: _,
        trusted_proxies: _,
        strict_aws: _,
        domains: _,
        base_directory: _,
    } = now;
    let address = |store: &Option<crate::model::Spanned<String>>| {
        store.as_ref().map(|store| store.value.clone())
    };
    let changed = [
        (
            "store",
            address(&start.store) != address(store) || start.store_options != *store_options,
        ),
        ("admin", start.admin != *admin),
    ];
    changed
        .into_iter()
        .filter_map(|(name, is_changed)| is_changed.then_some(name))
        .collect()
}

/// `api.yaml`, `api.yaml and 3 more files`.
fn names(files: &BTreeSet<PathBuf>) -> String {
    let Some(first) = files.first() else {
        return "nothing".to_owned();
    };
    match files.len() - 1 {
        0 => shown(first),
        more => format!("{} and {}", shown(first), plural(more, "more file")),
    }
}

/// A path from the current folder, as people call it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let short = here
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    short.as_deref().unwrap_or(path).display().to_string()
}
