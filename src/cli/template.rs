//! Templates on the command line: where their values come from, and what the
//! configuration puts over them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;

use super::common::Common;
use crate::definition::template::{EnvironmentFile, Options, Template, read_overrides};
use crate::model::settings::Settings;
use crate::model::{Stage, Throttle};

/// What a template is read and run with.
#[derive(Debug, Default)]
pub(super) struct TemplateValues {
    /// For the reader.
    pub(super) options: Options,
    /// The files that said so.
    pub(super) files: Vec<PathBuf>,
}

impl TemplateValues {
    /// Reads flags, variables and, where `--config-env` asks for it, SAM's own configuration.
    pub(super) fn read(
        common: &Common,
        template: &Path,
        settings: &Settings,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let mut values = Self {
            options: Options {
                parameters: IndexMap::new(),
                api: common.api.clone(),
                stage: settings.stage_name.clone(),
                environment: None,
            },
            files: Vec::new(),
        };
        let folder = template.parent().unwrap_or(Path::new(""));
        let mut environment = None;
        match &common.config_env {
            Some(name) => {
                let config = SamConfig::read(folder, name)?;
                values.take(&config.parameter_overrides)?;
                environment = config.env_vars.map(|path| config.folder.join(path));
                values.files.push(config.folder.join("samconfig.toml"));
                values.files.extend(environment.clone());
            }
            None if folder.join("samconfig.toml").is_file() => notes.push(
                "samconfig.toml is not applied; --config-env default takes its parameter_overrides and env_vars"
                    .to_owned(),
            ),
            None => {}
        }
        values.take(&common.parameter_overrides)?;
        if let Some(path) = common.env_vars.clone().or(environment) {
            let text = std::fs::read_to_string(&path).with_context(|| {
                format!("cannot read the file {} of --env-vars", path.display())
            })?;
            let file = EnvironmentFile::read(&text).map_err(|problem| {
                anyhow::anyhow!("in the file {} of --env-vars: {problem}", path.display())
            })?;
            values.options.environment = Some(file);
        }
        note_newer_build(template, notes);
        Ok(values)
    }

    fn take(&mut self, texts: &[String]) -> Result<()> {
        for text in texts {
            let pairs = read_overrides(text)
                .map_err(|problem| anyhow::anyhow!("--parameter-overrides: {problem}"))?;
            self.options.parameters.extend(pairs);
        }
        Ok(())
    }
}

/// `sam build` leaves a template of its own, which names the built code.
fn note_newer_build(template: &Path, notes: &mut Vec<String>) {
    let folder = template.parent().unwrap_or(Path::new(""));
    let built = folder.join(".aws-sam/build/template.yaml");
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if let (Some(built_at), Some(written_at)) = (changed(&built), changed(template))
        && built_at >= written_at
    {
        notes.push(format!(
            "the functions run from their sources; `sam build` left built ones: serve {} for those",
            built.display()
        ));
    }
}

/// Puts a template under the configuration: what that says of a stage variable, a
/// usage plan, an API key or a function stands.
pub(super) fn merge(
    settings: &mut Settings,
    template: &mut Template,
    values: &TemplateValues,
    notes: &mut Vec<String>,
) {
    for api in &mut template.apis {
        if let Some(stage) = &mut api.stage {
            override_stage(stage, &settings.stage);
        }
    }
    for (name, function) in &template.functions {
        let logical_id = template.function_ids.get(name).map_or("", String::as_str);
        if let Some(own) = settings.functions.shift_remove(logical_id) {
            settings.functions.insert(name.clone(), own);
        }
        let is_there = settings.functions.keys().any(|key| {
            key == name || crate::base::FunctionArn::parse(key).is_some_and(|arn| arn.name == *name)
        });
        if !is_there {
            settings.functions.insert(name.clone(), function.clone());
        }
    }
    // One that the template only names, such as a container image.
    for (name, logical_id) in &template.function_ids {
        if name != logical_id
            && let Some(own) = settings.functions.shift_remove(logical_id)
        {
            settings.functions.insert(name.clone(), own);
        }
    }
    if let Some(file) = &values.options.environment {
        for (name, function) in &mut settings.functions {
            let logical_id = template.function_ids.get(name).map_or("", String::as_str);
            file.apply(&[logical_id, name], &mut function.environment);
        }
    }
    settings.domains.append(&mut template.domains);
    merge_keys(settings, template, notes);
    for plan in template.usage_plans.drain(..) {
        match settings
            .usage_plans
            .iter_mut()
            .find(|own| own.name == plan.name)
        {
            Some(own) => {
                // The configured plan's throttles count; the template's are replaced.
                own.api_stages = plan.api_stages.map(|mut stages| {
                    stages.iter_mut().for_each(|stage| stage.throttle.clear());
                    stages
                });
            }
            None => settings.usage_plans.push(plan),
        }
    }
}

/// A configured key of the same name gives a template's key its value.
fn merge_keys(settings: &mut Settings, template: &mut Template, notes: &mut Vec<String>) {
    for key in template.api_keys.drain(..) {
        let own = settings
            .api_keys
            .iter()
            .find(|own| own.name == key.name || own.id == key.id);
        let Some(own) = own else {
            if template.made_up_keys.contains(&key.name) {
                notes.push(format!(
                    "the API key `{}` has the value {} here; `apiKeys` of the configuration gives it another one",
                    key.name, key.value
                ));
            }
            settings.api_keys.push(key);
            continue;
        };
        for plan in &mut template.usage_plans {
            for link in plan.api_keys.iter_mut().filter(|link| link.value == key.id) {
                link.value.clone_from(&own.id);
            }
        }
    }
}

fn override_stage(stage: &mut Stage, configured: &Stage) {
    let Stage {
        name: _,
        variables,
        method_settings,
        default_route_settings,
        route_settings,
        cache_cluster_enabled,
        access_log,
        canary,
    } = configured;
    let copied = |map: &IndexMap<String, String>| map.clone().into_iter().collect::<Vec<_>>();
    stage.variables.extend(copied(variables));
    stage.method_settings.extend(method_settings.clone());
    stage.route_settings.extend(route_settings.clone());
    let Throttle {
        rate_limit,
        burst_limit,
    } = *default_route_settings;
    let throttle = &mut stage.default_route_settings;
    throttle.rate_limit = rate_limit.or(throttle.rate_limit);
    throttle.burst_limit = burst_limit.or(throttle.burst_limit);
    stage.cache_cluster_enabled |= cache_cluster_enabled;
    if let Some(configured) = access_log {
        let of_template = stage.access_log.take().and_then(|log| log.format);
        let mut log = configured.clone();
        log.format = log.format.or(of_template);
        stage.access_log = Some(log);
    }
    if canary.is_some() {
        stage.canary.clone_from(canary);
    }
}

/// Writes the code that stands in a template, where it is not there yet.
pub(super) fn write_inline_code(
    template_code: &[crate::definition::template::InlineCode],
) -> Result<()> {
    for code in template_code {
        if std::fs::read_to_string(&code.path).is_ok_and(|text| text == code.text) {
            continue;
        }
        let write = || -> std::io::Result<()> {
            super::own_folder::make(code.path.parent().unwrap_or(Path::new("")))?;
            std::fs::write(&code.path, &code.text)
        };
        write().with_context(|| format!("cannot write inline code to {}", code.path.display()))?;
    }
    Ok(())
}

/// What matters here of `samconfig.toml`, or `.yaml`.
struct SamConfig {
    folder: PathBuf,
    parameter_overrides: Vec<String>,
    env_vars: Option<String>,
}

impl SamConfig {
    /// Reads the tables of an environment for `sam local start-api`, over those for all commands.
    fn read(folder: &Path, environment: &str) -> Result<Self> {
        let path = folder.join("samconfig.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {} for --config-env", path.display()))?;
        let root: toml::Table = text
            .parse()
            .with_context(|| format!("{} is no TOML", path.display()))?;
        let Some(tables) = root.get(environment) else {
            let known: Vec<&str> = root
                .iter()
                .filter(|(_, value)| value.is_table())
                .map(|(name, _)| name.as_str())
                .collect();
            bail!(
                "{} has no environment `{environment}`; it has {}",
                path.display(),
                known.join(", ")
            );
        };
        let value = |key: &str| {
            ["local_start_api", "global"].iter().find_map(|command| {
                tables
                    .get(*command)
                    .or_else(|| tables.get(command.replace('_', "-")))?
                    .get("parameters")?
                    .get(key)
            })
        };
        let parameter_overrides = match value("parameter_overrides") {
            Some(toml::Value::String(text)) => vec![text.clone()],
            Some(toml::Value::Array(items)) => items
                .iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect(),
            Some(toml::Value::Table(table)) => table
                .iter()
                .filter_map(|(name, value)| {
                    let text = match value {
                        toml::Value::String(text) => format!("{text:?}"),
                        toml::Value::Integer(number) => number.to_string(),
                        toml::Value::Float(number) => number.to_string(),
                        toml::Value::Boolean(flag) => flag.to_string(),
                        _ => return None,
                    };
                    Some(format!("{name}={text}"))
                })
                .collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            folder: folder.to_owned(),
            parameter_overrides,
            env_vars: value("env_vars")
                .and_then(toml::Value::as_str)
                .map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samconfig_is_read_for_local_runs_over_all_commands() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("samconfig.toml"),
            "version = 0.1\n[default.global.parameters]\nparameter_overrides = \"A=1\"\nenv_vars = \"all.json\"\n[default.local_start_api.parameters]\nparameter_overrides = [\"A=2\", \"B=3\"]\n[prod.global.parameters]\nparameter_overrides = {A = \"x y\"}\n",
        )
        .unwrap();

        let default = SamConfig::read(folder.path(), "default").unwrap();
        let prod = SamConfig::read(folder.path(), "prod").unwrap();

        assert_eq!(default.parameter_overrides, ["A=2", "B=3"]);
        assert_eq!(default.env_vars.as_deref(), Some("all.json"));
        assert_eq!(prod.parameter_overrides, ["A=\"x y\""]);
        assert!(SamConfig::read(folder.path(), "nobody").is_err());
    }
}
