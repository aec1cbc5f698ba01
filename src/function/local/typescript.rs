//! TypeScript handlers, through the project's own tools.
//!
//! The project's esbuild bundles the handler into the gateway's folder before the
//! process starts, as `sam build` would; where there is only tsx, Node.js loads the
//! sources through that. Neither is carried by the gateway: what is built has to be
//! what the project builds.
//!
//! Source: AWS SAM developer guide, "Building Node.js Lambda functions with esbuild".

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::interpreter;
use super::launch::Lookup;
use super::unpack;

/// How long a build may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest part of esbuild's words that is passed on.
const LONGEST_COMPLAINT: usize = 2_000;

/// What puts `require` into a module, for packages that still use it.
const REQUIRE: &str = "--banner:js=import{createRequire as __tollgateRequire}from'node:module';const require=__tollgateRequire(import.meta.url);";

/// How a TypeScript handler is run.
pub(super) enum TypeScript {
    /// Built first.
    Esbuild(Build),
    /// Loaded by Node.js through this module (`--import`).
    Tsx(String),
}

/// A build by esbuild.
pub(super) struct Build {
    program: PathBuf,
    /// The sources' folder.
    from: PathBuf,
    entries: Vec<String>,
    options: Vec<String>,
    is_module: bool,
    to: PathBuf,
    cache: PathBuf,
}

/// How the handler's TypeScript is run; none where the handler is no TypeScript.
///
/// # Errors
///
/// The project has neither esbuild nor tsx.
pub(super) fn find(lookup: &Lookup<'_>) -> Result<Option<TypeScript>, String> {
    let directory = lookup.directory;
    let configured = lookup.settings.life.esbuild.as_ref();
    let source = source_of(lookup.handler, directory);
    let entries: Vec<String> = match configured {
        Some(settings) if !settings.entry_points.is_empty() => settings
            .entry_points
            .iter()
            .filter(|entry| directory.join(entry).is_file())
            .cloned()
            .collect(),
        _ => source.clone().into_iter().collect(),
    };
    // Nothing to build: plain JavaScript, or what `sam build` has made of it already.
    let Some(first) = entries.first() else {
        return Ok(None);
    };
    let esbuild = directory
        .ancestors()
        .map(|folder| folder.join("node_modules/.bin/esbuild"))
        .find(|program| interpreter::is_executable(program));
    if let Some(program) = esbuild {
        let options = configured.map(|settings| settings.options.clone());
        let is_module = match &options {
            Some(options) => options.iter().any(|option| option == "--format=esm"),
            None => is_module_package(directory),
        };
        let mut hasher = DefaultHasher::new();
        (directory, &entries, &options).hash(&mut hasher);
        return Ok(Some(TypeScript::Esbuild(Build {
            program,
            from: directory.to_owned(),
            entries,
            is_module,
            options: options.unwrap_or_else(|| {
                let mut options = vec!["--outbase=.".to_owned(), "--sourcemap".to_owned()];
                if is_module {
                    options.push("--format=esm".to_owned());
                    options.push(REQUIRE.to_owned());
                }
                options
            }),
            to: lookup
                .places
                .cache
                .join("built")
                .join(format!("{:016x}", hasher.finish())),
            cache: lookup.places.cache.to_owned(),
        })));
    }
    if is_typescript(first) {
        let tsx = directory
            .ancestors()
            .any(|folder| folder.join("node_modules/tsx/package.json").is_file());
        // What tsx loads is the sources themselves: the handler must be among them.
        if tsx && source.is_some() {
            return Ok(Some(TypeScript::Tsx("tsx".to_owned())));
        }
        return Err(format!(
            "handler {}: {} is TypeScript, and the project has neither esbuild nor tsx: `npm install --save-dev esbuild`, or build it and name the folder of the result as codeUri",
            lookup.handler,
            directory.join(first).display()
        ));
    }
    Ok(None)
}

impl Build {
    /// Folders of packages that are not part of the bundle.
    pub(super) fn modules(&self) -> impl Iterator<Item = PathBuf> {
        let above = self.from.ancestors().skip(1);
        above
            .map(|folder| folder.join("node_modules"))
            .filter(|folder| folder.is_dir())
    }

    /// Builds, and gives the folder of the result.
    ///
    /// # Errors
    ///
    /// What esbuild says.
    pub(super) async fn run(self) -> Result<PathBuf, String> {
        let unwritable =
            |error: std::io::Error| format!("cannot write to {}: {error}", self.to.display());
        unpack::make_cache(&self.cache).map_err(unwritable)?;
        fs::create_dir_all(&self.to).map_err(unwritable)?;
        // The project's own package.json above would say what the result is not.
        let kind = if self.is_module { "module" } else { "commonjs" };
        let package = format!("{{\"type\":\"{kind}\"}}\n");
        fs::write(self.to.join("package.json"), package).map_err(unwritable)?;
        let mut outdir = OsString::from("--outdir=");
        outdir.push(self.to.canonicalize().map_err(unwritable)?);
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.entries)
            .args(["--bundle", "--platform=node", "--log-level=error"])
            .args(&self.options)
            .arg(outdir)
            .current_dir(&self.from)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .map_err(|_| format!("esbuild took more than {} s", PATIENCE.as_secs()))?
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        if output.status.success() {
            return Ok(self.to);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(LONGEST_COMPLAINT).collect();
        Err(format!("esbuild failed: {said}"))
    }
}

/// The TypeScript file of a handler, from the folder of the code, where there is no JavaScript.
fn source_of(handler: &str, directory: &Path) -> Option<String> {
    let (folder, base) = match handler.rsplit_once('/') {
        Some((folder, base)) => (format!("{folder}/"), base),
        None => (String::new(), handler),
    };
    let (module, _) = base.split_once('.')?;
    let exists = |ending: &&str| {
        directory
            .join(format!("{folder}{module}{ending}"))
            .is_file()
    };
    if [".js", ".mjs", ".cjs"].iter().any(&exists) {
        return None;
    }
    [".ts", ".mts", ".cts"]
        .iter()
        .find(|ending| exists(ending))
        .map(|ending| format!("{folder}{module}{ending}"))
}

fn is_typescript(file: &str) -> bool {
    [".ts", ".mts", ".cts", ".tsx"]
        .iter()
        .any(|ending| file.ends_with(ending))
}

/// Whether the nearest package.json says that `.js` files are modules.
fn is_module_package(directory: &Path) -> bool {
    directory
        .ancestors()
        .map(|folder| folder.join("package.json"))
        .find(|file| file.is_file())
        .and_then(|file| fs::read(file).ok())
        .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok())
        .is_some_and(|package| package["type"] == "module")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handlers_source_is_found_unless_it_is_built_already() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        for name in ["src/app.ts", "built.ts", "built.js", "types.mts"] {
            fs::write(folder.path().join(name), "").unwrap();
        }

        let source = |handler: &str| source_of(handler, folder.path());

        assert_eq!(source("src/app.handler").as_deref(), Some("src/app.ts"));
        assert_eq!(source("types.handler").as_deref(), Some("types.mts"));
        assert_eq!(source("built.handler"), None);
        assert_eq!(source("gone.handler"), None);
    }

    #[test]
    fn the_nearest_package_says_what_js_files_are() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(folder.path().join("package.json"), r#"{"type":"module"}"#).unwrap();
        assert!(is_module_package(&inner));

        fs::write(folder.path().join("a/package.json"), "{}").unwrap();
        assert!(!is_module_package(&inner));
    }
}
