//! From a function's settings to the program that is started for it.
//!
//! Everything that can be found wrong without starting anything is found here,
//! each with what to do about it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::bootstrap;
use super::interpreter::{self, Candidates, Language};
use crate::model::settings::{FunctionPlace, FunctionSettings};

/// What is started for a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<OsString>,
    /// The folder it runs in: the function's code.
    pub(super) directory: PathBuf,
    /// `_HANDLER`.
    pub(super) handler: String,
    /// Lambda's name of the runtime; none for a command.
    pub(super) runtime: Option<String>,
}

/// A launch whose interpreter, if it has one, is still to be resolved.
pub(super) enum Found {
    /// Ready to start.
    Program(Launch),
    /// A handler in a language that needs an interpreter.
    Handler {
        /// Which language.
        language: Language,
        /// Interpreters that could run it.
        candidates: Candidates,
        /// The launch, its program and arguments empty.
        launch: Launch,
    },
}

/// Finds what `settings` name, without starting anything.
///
/// # Errors
///
/// What is missing or unknown, and what to do.
pub(super) fn find(
    settings: &FunctionSettings,
    search_path: Option<&OsStr>,
) -> Result<Found, String> {
    match &settings.place {
        FunctionPlace::Runtime {
            runtime,
            handler,
            code_uri,
        } => find_runtime(&runtime.value, handler, code_uri, search_path),
        FunctionPlace::Command {
            command,
            working_directory,
        } => find_command(command, working_directory, search_path).map(Found::Program),
        FunctionPlace::Endpoint { .. } | FunctionPlace::Handler { .. } => {
            Err("it is not run as a local process".to_owned())
        }
    }
}

impl Found {
    /// Makes the launch ready: asks shims where their interpreter is.
    ///
    /// # Errors
    ///
    /// No interpreter works.
    pub(super) async fn resolve(self) -> Result<Launch, String> {
        let (language, candidates, mut launch) = match self {
            Self::Program(launch) => return Ok(launch),
            Self::Handler {
                language,
                candidates,
                launch,
            } => (language, candidates, launch),
        };
        launch.program = interpreter::resolve(language, &candidates).await?;
        launch.arguments = match language {
            Language::Python => vec!["-c".into(), bootstrap::PYTHON.into()],
            Language::Node => vec!["-e".into(), bootstrap::NODE.into()],
        };
        Ok(launch)
    }
}

fn find_runtime(
    runtime: &str,
    handler: &str,
    directory: &Path,
    search_path: Option<&OsStr>,
) -> Result<Found, String> {
    if !directory.is_dir() {
        let why = if directory.exists() {
            "is not a folder"
        } else {
            "does not exist"
        };
        return Err(format!(
            "codeUri {} {why}: name the folder of the function's code",
            directory.display()
        ));
    }
    let mut launch = Launch {
        program: PathBuf::new(),
        arguments: Vec::new(),
        directory: directory.to_owned(),
        handler: handler.to_owned(),
        runtime: Some(runtime.to_owned()),
    };
    let language = if runtime.starts_with("python3") {
        Language::Python
    } else if runtime.starts_with("nodejs") {
        Language::Node
    } else if runtime == "provided" || runtime.starts_with("provided.") {
        let program = directory.join("bootstrap");
        if !program.exists() {
            return Err(format!(
                "{} does not exist: runtime {runtime} runs an executable of that name; build it, or name a program with `command`",
                program.display()
            ));
        }
        if !interpreter::is_executable(&program) {
            return Err(format!(
                "{0} is not executable: `chmod +x {0}`",
                program.display()
            ));
        }
        launch.program = program;
        return Ok(Found::Program(launch));
    } else {
        return Err(format!(
            "runtime {runtime} is not known here: use python3.x, nodejs20.x or provided.al2023, or name a program that speaks the Lambda Runtime API with `command`"
        ));
    };
    let candidates = interpreter::find(language, runtime, directory, search_path)?;
    check_handler(
        language,
        handler,
        directory,
        candidates.has_virtual_environment,
    )?;
    Ok(Found::Handler {
        language,
        candidates,
        launch,
    })
}

/// Whether the file that `handler` names is there, as far as that can be told from outside.
fn check_handler(
    language: Language,
    handler: &str,
    directory: &Path,
    has_virtual_environment: bool,
) -> Result<(), String> {
    let missing = |names: &str| {
        Err(format!(
            "handler {handler}: {names} does not exist in {}",
            directory.display()
        ))
    };
    match language {
        Language::Python => {
            let Some((module, _)) = handler.rsplit_once('.') else {
                return Err(format!(
                    "handler {handler:?} has no function: write MODULE.FUNCTION, such as app.handler"
                ));
            };
            let first = module.split(['.', '/']).find(|part| !part.is_empty());
            let first = first.unwrap_or(module);
            // Extension modules are called app.cpython-312-x86_64-linux-gnu.so.
            let compiled = format!("{first}.");
            let exists = std::fs::read_dir(directory).is_ok_and(|entries| {
                entries.flatten().any(|entry| {
                    let name = entry.file_name();
                    let name = name.to_string_lossy();
                    name == first
                        || (name.starts_with(&compiled)
                            && [".py", ".pyc", ".so", ".pyd"]
                                .iter()
                                .any(|end| name.ends_with(end)))
                })
            });
            // A virtual environment may hold the module; loading it will tell.
            if exists || has_virtual_environment {
                Ok(())
            } else {
                missing(&format!("{first}.py"))
            }
        }
        Language::Node => {
            let (folder, base) = handler.rsplit_once('/').unwrap_or(("", handler));
            let Some((module, _)) = base.split_once('.') else {
                return Err(format!(
                    "handler {handler:?} has no function: write FILE.FUNCTION, such as index.handler"
                ));
            };
            let file = directory.join(folder).join(module);
            let with = |extension: &str| {
                let mut name = file.clone().into_os_string();
                name.push(extension);
                PathBuf::from(name)
            };
            let installed = directory
                .ancestors()
                .any(|folder| folder.join("node_modules").join(module).exists());
            if installed || ["", ".js", ".mjs", ".cjs"].iter().any(|e| with(e).exists()) {
                return Ok(());
            }
            for extension in [".ts", ".mts", ".cts"] {
                if with(extension).exists() {
                    return Err(format!(
                        "handler {handler}: {} is TypeScript, which Node.js does not load: build it, and name the folder of the result as codeUri",
                        with(extension).display()
                    ));
                }
            }
            missing(&format!("{module}.js, .mjs or .cjs"))
        }
    }
}

fn find_command(
    command: &[String],
    directory: &Path,
    search_path: Option<&OsStr>,
) -> Result<Launch, String> {
    let Some((name, arguments)) = command.split_first() else {
        return Err("its command is empty: name a program and its arguments".to_owned());
    };
    if !directory.is_dir() {
        return Err(format!(
            "the folder {} that its command runs in does not exist",
            directory.display()
        ));
    }
    let program = if Path::new(name).components().count() > 1 {
        let program = directory.join(name);
        if !program.exists() {
            return Err(format!(
                "its command {} does not exist: build it first, or mend the path",
                program.display()
            ));
        }
        if !interpreter::is_executable(&program) {
            return Err(format!(
                "its command {0} is not executable: `chmod +x {0}`",
                program.display()
            ));
        }
        program
    } else {
        interpreter::on_path(name, search_path).next().ok_or_else(|| {
            format!("its command {name} is not on PATH: install it, or name it with its folder (./{name})")
        })?
    };
    Ok(Launch {
        program,
        arguments: arguments.iter().map(OsString::from).collect(),
        directory: directory.to_owned(),
        // What Lambda's documentation tells to write for an executable.
        handler: "bootstrap".to_owned(),
        runtime: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(runtime: &str, handler: &str, directory: &Path) -> String {
        let search_path = std::env::var_os("PATH");
        match find_runtime(runtime, handler, directory, search_path.as_deref()) {
            Ok(_) => String::new(),
            Err(complaint) => complaint,
        }
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.ts"), "").unwrap();
        let gone = folder.path().join("gone");

        for (runtime, handler, directory, expected) in [
            (
                "python3.12",
                "app.handler",
                gone.as_path(),
                "does not exist: name the folder",
            ),
            ("ruby3.3", "app.handler", folder.path(), "is not known here"),
            (
                "python3.12",
                "app.handler",
                folder.path(),
                "app.py does not exist",
            ),
            ("python3.12", "app", folder.path(), "write MODULE.FUNCTION"),
            (
                "nodejs20.x",
                "src/app.handler",
                folder.path(),
                "app.js, .mjs or .cjs does not exist",
            ),
            (
                "nodejs20.x",
                "index.handler",
                folder.path(),
                "is TypeScript",
            ),
            (
                "provided.al2023",
                "x",
                folder.path(),
                "bootstrap does not exist",
            ),
        ] {
            let complaint = complaint(runtime, handler, directory);
            assert!(
                complaint.contains(expected),
                "{runtime} {handler}: {complaint}"
            );
        }
    }

    #[test]
    fn nested_handlers_are_found_in_both_spellings() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("pkg/mod")).unwrap();
        std::fs::write(folder.path().join("pkg/mod.py"), "").unwrap();
        std::fs::write(folder.path().join("pkg/mod.mjs"), "").unwrap();

        for (runtime, handler) in [
            ("python3.12", "pkg.mod.handler"),
            ("python3.12", "pkg/mod.handler"),
            ("nodejs20.x", "pkg/mod.handler"),
        ] {
            assert_eq!(complaint(runtime, handler, folder.path()), "");
        }
    }

    #[test]
    fn a_command_is_looked_for_in_its_folder_or_on_path() {
        let folder = tempfile::tempdir().unwrap();
        let search_path = std::env::var_os("PATH");
        let find = |command: &[&str]| {
            let command: Vec<String> = command.iter().map(|&part| part.to_owned()).collect();
            find_command(&command, folder.path(), search_path.as_deref())
        };

        assert!(
            find(&["target/release/orders"])
                .unwrap_err()
                .contains("build it first")
        );
        assert!(
            find(&["no-such-program"])
                .unwrap_err()
                .contains("not on PATH")
        );
        assert!(find(&[]).unwrap_err().contains("empty"));
        #[cfg(unix)]
        assert!(find(&["sh", "-c", "true"]).unwrap().program.is_absolute());
    }
}
