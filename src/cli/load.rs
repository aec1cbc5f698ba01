//! From options to APIs: finds the definitions and the configuration, and reads them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::common::{Common, Origin};
use super::template::{self as templates, TemplateValues};
use crate::base::id::stable_id;
use crate::definition::openapi;
use crate::definition::settings::{self, Configuration};
use crate::definition::template::{self, InlineCode, WebSocketApi};
use crate::model::settings::{FunctionPlace, IamUserSettings, Settings};
use crate::model::{Api, ApiKind};
use crate::source::{Diagnostics, Node, Sources, Span};

/// Everything that was read, and what was found on the way.
#[derive(Debug)]
pub struct Loaded {
    /// The APIs, in the order of their definitions; whole only without errors among the findings.
    pub apis: Vec<Api>,
    /// WebSocket APIs of templates, which are listed and not served.
    pub websocket_apis: Vec<WebSocketApi>,
    /// By function name: its logical id in a template.
    pub function_ids: IndexMap<String, String>,
    /// The folder of each API's definition.
    pub directories: Vec<PathBuf>,
    /// Code that stands in templates.
    pub inline_code: Vec<InlineCode>,
    /// The settings: flags over variables over the configuration file over defaults.
    pub settings: Settings,
    /// The files.
    pub sources: Sources,
    /// The findings, in the order of the files.
    pub diagnostics: Diagnostics,
    /// The definitions that were read.
    pub definitions: Vec<PathBuf>,
    /// The configuration file that was read.
    pub config: Option<PathBuf>,
    /// Other files that decided on values: samconfig.toml and those it names.
    pub values_files: Vec<PathBuf>,
    /// Lines for people on what was taken without being asked for.
    pub notes: Vec<String>,
    /// Each setting with its value and where it comes from.
    pub effective: Vec<Effective>,
}

/// A setting, its value and where it comes from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Its name in the configuration: `stage.name`.
    pub key: String,
    /// Its value.
    pub value: Json,
    /// Where it comes from.
    pub origin: Origin,
}

/// Reads definitions and configuration.
///
/// # Errors
///
/// Where there is nothing to read: no definition was named or found, or a file
/// cannot be opened. What is wrong *in* a file is among the findings instead.
pub fn load(common: &Common) -> Result<Loaded> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::default();
    let mut notes = Vec::new();
    let (definitions, origin) = definitions(common)?;
    if !matches!(origin, Origin::Flag(_)) && !definitions.is_empty() {
        let names: Vec<String> = definitions
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        notes.push(format!("definition: {}", names.join(", ")));
    }
    let config = config(common, &definitions);
    let configuration = match &config {
        Some(path) => {
            if common.config.is_none() {
                notes.push(format!("configuration: {}", path.display()));
            }
            match sources.add_path(path) {
                Ok(file) => settings::read(&sources, file, &mut diagnostics),
                Err(problem) if problem.code == "E0001" => return Err(refusal(&problem)),
                Err(problem) => {
                    diagnostics.push(problem);
                    Configuration::default()
                }
            }
        }
        None => Configuration {
            settings: Settings {
                base_directory: std::env::current_dir().unwrap_or_default(),
                ..Settings::default()
            },
            ..Configuration::default()
        },
    };
    let Configuration {
        mut settings,
        given,
    } = configuration;
    overrule(&mut settings, common);
    if settings.iam_users.is_none() {
        settings.iam_users = own_iam_user(&settings.account_id);
    }
    let mut loaded = Loaded {
        apis: Vec::new(),
        websocket_apis: Vec::new(),
        function_ids: IndexMap::new(),
        directories: Vec::new(),
        inline_code: Vec::new(),
        settings,
        sources,
        diagnostics,
        definitions,
        config,
        values_files: Vec::new(),
        notes,
        effective: Vec::new(),
    };
    for path in loaded.definitions.clone() {
        loaded.add(&path, common)?;
    }
    set_environment(&mut loaded.settings, common)?;
    if common.enforce_memory {
        for function in loaded.settings.functions.values_mut() {
            function.life.enforce_memory = true;
        }
    }
    if common.lenient {
        loaded.diagnostics.lenient();
    }
    loaded.diagnostics.sort();
    loaded.effective = effective(
        common,
        &loaded.settings,
        given,
        &loaded.apis,
        &loaded.definitions,
        origin,
        &loaded.config,
    );
    if loaded.settings.store.is_none() {
        let path = loaded.default_store();
        let address = path.map(|path| format!("sqlite:{}", path.display()));
        loaded.effective.push(Effective {
            key: "store".to_owned(),
            value: json!(address.as_deref().unwrap_or("memory:")),
            origin: Origin::Default,
        });
    }
    Ok(loaded)
}

impl Loaded {
    /// Reads one more definition.
    fn add(&mut self, path: &Path, common: &Common) -> Result<()> {
        let file = match self.sources.add_path(path) {
            Ok(file) => file,
            Err(problem) if problem.code == "E0001" => return Err(refusal(&problem)),
            Err(problem) => {
                self.diagnostics.push(problem);
                return Ok(());
            }
        };
        let Some(root) = self.sources.load(file, &mut self.diagnostics) else {
            return Ok(());
        };
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let apis = if template::is_template(&root) {
            self.add_template(path, root, common)?
        } else {
            let api = openapi::read_node(
                &mut self.sources,
                root,
                &self.settings,
                &mut self.diagnostics,
            );
            let mut apis: Vec<Api> = api.into_iter().collect();
            if let (false, Some(api)) = (self.apis.is_empty(), apis.first_mut()) {
                // The configured id is the first API's.
                api.id = stable_id(&api.title);
            }
            apis
        };
        for mut api in apis {
            let twin = self
                .apis
                .iter()
                .any(|known| known.id == api.id && known.logical_id != api.logical_id);
            if twin {
                api.id = stable_id(&format!("{} {}", api.title, path.display()));
            }
            self.apis.push(api);
            self.directories.push(folder.clone());
        }
        Ok(())
    }

    fn add_template(&mut self, path: &Path, root: Node, common: &Common) -> Result<Vec<Api>> {
        let values = TemplateValues::read(common, path, &self.settings, &mut self.notes)?;
        self.values_files.extend(values.files.iter().cloned());
        let mut read = template::read(
            &mut self.sources,
            root,
            &values.options,
            &self.settings,
            &mut self.diagnostics,
        );
        self.notes.append(&mut read.notes);
        templates::merge(&mut self.settings, &mut read, &values, &mut self.notes);
        self.websocket_apis.append(&mut read.websocket_apis);
        self.function_ids.extend(read.function_ids);
        self.inline_code.append(&mut read.inline_code);
        Ok(read.apis)
    }
}

/// A finding about a file as an error of the program.
fn refusal(problem: &crate::source::Diagnostic) -> anyhow::Error {
    match &problem.help {
        Some(help) => anyhow::anyhow!("{}; {help}", problem.message),
        None => anyhow::anyhow!("{}", problem.message),
    }
}

/// The definitions that were named, or those that are found.
fn definitions(common: &Common) -> Result<(Vec<PathBuf>, Origin)> {
    if !common.definitions.is_empty() {
        return Ok((
            common.definitions.clone(),
            Origin::Flag("argument".to_owned()),
        ));
    }
    if let Some(named) = std::env::var_os("TOLLGATE_DEFINITION").filter(|named| !named.is_empty()) {
        let origin = Origin::Environment("TOLLGATE_DEFINITION".to_owned());
        return Ok((std::env::split_paths(&named).collect(), origin));
    }
    let single = [
        "template.yaml",
        "template.yml",
        "template.json",
        "openapi.yaml",
        "openapi.yml",
        "openapi.json",
    ];
    if let Some(found) = single.iter().map(Path::new).find(|path| path.is_file()) {
        return Ok((vec![found.to_owned()], Origin::Default));
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir("openapi")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let kind = path.extension().unwrap_or_default();
            let is_config = path.file_stem().is_some_and(|stem| stem == "tollgate");
            ["yaml", "yml", "json"].iter().any(|known| kind == *known)
                && !is_config
                && path.is_file()
        })
        .collect();
    found.sort();
    if found.is_empty() && common.only_functions && config(common, &[]).is_some() {
        return Ok((Vec::new(), Origin::Default));
    }
    if found.is_empty() {
        bail!(
            "no definition: there is neither template.yaml, openapi.yaml nor openapi/*.yaml here; name one, as in `tollgate serve api.yaml`"
        );
    }
    Ok((found, Origin::Default))
}

/// The configuration that was named, or the one beside the first definition or in the current folder.
fn config(common: &Common, definitions: &[PathBuf]) -> Option<PathBuf> {
    if common.config.is_some() {
        return common.config.clone();
    }
    let beside = definitions
        .first()
        .and_then(|path| path.parent())
        .map(Path::to_owned)
        .unwrap_or_default();
    [beside, PathBuf::new()]
        .iter()
        .flat_map(|folder| ["tollgate.yaml", "tollgate.yml"].map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

/// Puts flags and variables over the configuration.
fn overrule(settings: &mut Settings, common: &Common) {
    if let Some(region) = &common.region {
        settings.region.clone_from(region);
    }
    if let Some(kind) = common.api_type {
        settings.api_type = Some(kind.into());
    }
    if let Some(stage) = &common.stage {
        settings.stage_name = Some(stage.clone());
    }
    for (name, value) in common.stage_variables.iter().flat_map(|some| &some.0) {
        settings.stage.variables.insert(name.clone(), value.clone());
    }
}

/// Gives local functions the variables of `--env-file` that they do not have.
fn set_environment(settings: &mut Settings, common: &Common) -> Result<()> {
    if let Some(path) = &common.env_file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the file {} of --env-file", path.display()))?;
        let environment = environment(&text)
            .with_context(|| format!("in the file {} of --env-file", path.display()))?;
        for function in settings.functions.values_mut() {
            if matches!(
                function.place,
                FunctionPlace::Runtime { .. } | FunctionPlace::Command { .. }
            ) {
                for (name, value) in &environment {
                    function
                        .environment
                        .entry(name.clone())
                        .or_insert_with(|| value.clone());
                }
            }
        }
    }
    Ok(())
}

/// Where the configuration names no IAM users, requests may be signed with the
/// credentials in the gateway's own environment: whoever has those is its operator.
fn own_iam_user(account_id: &str) -> Option<Vec<IamUserSettings>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(vec![IamUserSettings {
        access_key_id: variable("AWS_ACCESS_KEY_ID")?,
        secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
        session_token: variable("AWS_SESSION_TOKEN"),
        expiration: None,
        user_arn: format!("arn:aws:iam::{account_id}:user/local"),
        policies: None,
        span: Span::default(),
    }])
}

/// `NAME=VALUE` lines; `#` begins a comment line, `export` and quotes around a value are dropped.
fn environment(text: &str) -> Result<IndexMap<String, String>> {
    let mut variables = IndexMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            bail!("line {} is no NAME=VALUE", index + 1);
        };
        let name = name.trim();
        let valid = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !valid {
            bail!("line {}: `{name}` is no variable's name", index + 1);
        }
        let value = value.trim();
        let quoted = ['"', '\'']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        variables.insert(name.to_owned(), quoted.unwrap_or(value).to_owned());
    }
    Ok(variables)
}

/// Each setting with where it comes from.
fn effective(
    common: &Common,
    settings: &Settings,
    mut given: IndexMap<String, crate::model::Spanned<Json>>,
    apis: &[Api],
    definitions: &[PathBuf],
    definitions_origin: Origin,
    config: &Option<PathBuf>,
) -> Vec<Effective> {
    let mut list = Vec::new();
    let mut add = |key: &str, value: Json, origin: Option<Origin>| {
        let from_file = given
            .shift_remove(key)
            .map(|given| Origin::File(given.span));
        list.push(Effective {
            key: key.to_owned(),
            value,
            origin: origin.or(from_file).unwrap_or(Origin::Default),
        });
    };
    let flag = |id: &str| common.origins.get(id).cloned();
    let paths: Vec<String> = definitions
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    add("definitions", json!(paths), Some(definitions_origin));
    add(
        "config",
        json!(config.as_ref().map(|path| path.display().to_string())),
        flag("config"),
    );
    add("region", json!(settings.region), flag("region"));
    add("accountId", json!(settings.account_id), None);
    let kinds: Vec<&str> = apis.iter().map(|api| kind_word(api.kind)).collect();
    add("apiType", words(&kinds), flag("api_type"));
    let ids: Vec<&str> = apis.iter().map(|api| api.id.as_str()).collect();
    add("apiId", words(&ids), None);
    let stages: Vec<String> = apis
        .iter()
        .map(|api| settings::stage_of(settings, api).name)
        .collect();
    add("stage.name", words(&stages), flag("stage"));
    let variables_origin = flag("stage_variables");
    add(
        "stage.variables",
        texts(&settings.stage.variables),
        variables_origin,
    );
    add(
        "throttle.rateLimit",
        json!(settings.throttle.rate_limit),
        None,
    );
    add(
        "throttle.burstLimit",
        json!(settings.throttle.burst_limit),
        None,
    );
    add(
        "envFile",
        json!(
            common
                .env_file
                .as_ref()
                .map(|path| path.display().to_string())
        ),
        flag("env_file"),
    );
    add(
        "enforceMemory",
        json!(common.enforce_memory),
        flag("enforce_memory"),
    );
    if common.origins.get("parameter_overrides").is_some() {
        add(
            "parameterOverrides",
            json!(common.parameter_overrides),
            flag("parameter_overrides"),
        );
    }
    add("lenient", json!(common.lenient), flag("lenient"));
    // What only the file can say.
    list.extend(given.into_iter().map(|(key, value)| Effective {
        key,
        value: value.value,
        origin: Origin::File(value.span),
    }));
    list
}

/// One value as itself, several as a list.
fn words<T: serde::Serialize + PartialEq>(values: &[T]) -> Json {
    match values {
        [] => Json::Null,
        [first, rest @ ..] if rest.iter().all(|other| other == first) => json!(first),
        several => json!(several),
    }
}

/// Names and texts as an object.
pub(super) fn texts(map: &IndexMap<String, String>) -> Json {
    map.iter()
        .map(|(name, text)| (name.clone(), Json::String(text.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn kind_word(kind: ApiKind) -> &'static str {
    match kind {
        ApiKind::Rest => "rest",
        ApiKind::Http => "http",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_has_names_and_values() {
        let read = environment("# words\nA=1\nexport B='x y'\n\nC=\"a=b\"\nD=\n").unwrap();

        let pairs: Vec<(&str, &str)> = read.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "x y"), ("C", "a=b"), ("D", "")]);
        assert!(environment("nonsense").is_err());
        assert!(environment("1A=x").is_err());
    }
}
