//! From a function's settings to the program that is started for it.
//!
//! Everything that can be found wrong without starting anything is found here,
//! each with what to do about it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::interpreter::{self, Candidates, Language};
use super::typescript::{self, TypeScript};
use super::{bootstrap, layers, runtimes, unpack};
use crate::model::settings::{FunctionPlace, FunctionSettings};

/// What is started for a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// What stands for `/opt`: the layers, put together.
    pub(super) opt: Option<PathBuf>,
    /// What stands for `/var/runtime`.
    pub(super) runtime_directory: PathBuf,
    /// Where modules are looked for besides the code and the layers.
    pub(super) modules: Vec<PathBuf>,
    /// The external extensions among the layers.
    pub(super) extensions: Vec<PathBuf>,
}

impl Launch {
    /// The Python that runs it when that is not the version its runtime names, such as `python3.11`.
    ///
    /// Told by the name of the program alone, so not for Node.js.
    pub(super) fn other_version(&self) -> Option<String> {
        let runtime = self.runtime.as_deref()?;
        let real = self.program.canonicalize().ok()?;
        let name = real.file_name()?.to_str()?;
        let is_versioned = name.starts_with("python3.");
        (is_versioned && runtime.starts_with("python3.") && name != runtime)
            .then(|| name.to_owned())
    }
}

/// A launch whose interpreter, if it has one, is still to be resolved.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, while a function is looked for"
)]
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
        /// How its TypeScript becomes JavaScript, where it is that.
        typescript: Option<TypeScript>,
        /// A script of a layer or of the function that starts the interpreter in the gateway's place.
        wrapper: Option<PathBuf>,
    },
}

/// Where things are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'p> {
    /// `PATH` of the gateway.
    pub(super) search_path: Option<&'p OsStr>,
    /// The gateway's own folder, for what it unpacks and builds.
    pub(super) cache: &'p Path,
}

/// Finds what `settings` name, without starting anything. Zip files are unpacked.
///
/// # Errors
///
/// What is missing or unknown, and what to do.
pub(super) fn find(settings: &FunctionSettings, places: Places<'_>) -> Result<Found, String> {
    let opt = layers::merge(&settings.life.layers, places.cache)?;
    let extensions = opt.as_deref().map(layers::extensions).unwrap_or_default();
    let mut found = match &settings.place {
        FunctionPlace::Runtime {
            runtime,
            handler,
            code_uri,
        } => {
            let directory = code_folder(code_uri, places.cache)?;
            let lookup = Lookup {
                runtime: &runtime.value,
                handler,
                directory: &directory,
                opt: opt.as_deref(),
                settings,
                places,
            };
            lookup.find()?
        }
        FunctionPlace::Command {
            command,
            working_directory,
        } => find_command(command, working_directory, places.search_path).map(Found::Program)?,
        FunctionPlace::Endpoint { .. } | FunctionPlace::Handler { .. } => {
            return Err("it is not run as a local process".to_owned());
        }
    };
    let (Found::Program(launch) | Found::Handler { launch, .. }) = &mut found;
    launch.extensions = extensions;
    launch.opt = opt;
    launch.runtime_directory = places.cache.join("runtime");
    Ok(found)
}

/// The folder of the code, which may be a zip file (a Java archive is one, too).
fn code_folder(code_uri: &Path, cache: &Path) -> Result<PathBuf, String> {
    if code_uri.is_dir() {
        return Ok(code_uri.to_owned());
    }
    if !code_uri.exists() {
        return Err(format!(
            "codeUri {} does not exist: name the folder or zip file of the function's code",
            code_uri.display()
        ));
    }
    unpack::unpack(code_uri, cache).map_err(|why| format!("codeUri {why}"))
}

impl Found {
    /// Makes the launch ready: asks shims where their interpreter is, builds TypeScript.
    ///
    /// # Errors
    ///
    /// No interpreter works, or the code cannot be built.
    pub(super) async fn resolve(self) -> Result<Launch, String> {
        let (language, candidates, mut launch, typescript, wrapper) = match self {
            Self::Program(launch) => return Ok(launch),
            Self::Handler {
                language,
                candidates,
                launch,
                typescript,
                wrapper,
            } => (language, candidates, launch, typescript, wrapper),
        };
        let program = interpreter::resolve(language, &candidates, &launch.directory).await?;
        let mut arguments: Vec<OsString> = Vec::new();
        match typescript {
            Some(TypeScript::Esbuild(build)) => {
                launch.modules.push(launch.directory.join("node_modules"));
                launch.modules.extend(build.modules());
                launch.directory = build.run().await?;
            }
            Some(TypeScript::Tsx(loader)) => {
                arguments.extend(["--import".into(), loader.into()]);
            }
            None => {}
        }
        match wrapper {
            // A wrapper expects a program and a file, as at AWS, and puts options between them.
            Some(wrapper) => {
                let file =
                    bootstrap::write(language, &launch.runtime_directory).map_err(|error| {
                        let folder = launch.runtime_directory.display();
                        format!("cannot write to {folder}: {error}")
                    })?;
                arguments.insert(0, program.into());
                arguments.push(file.into());
                launch.program = wrapper;
            }
            None => {
                launch.program = program;
                arguments.extend(match language {
                    Language::Python => ["-c".into(), OsString::from(bootstrap::PYTHON)],
                    Language::Node => ["-e".into(), OsString::from(bootstrap::NODE)],
                });
            }
        }
        launch.arguments = arguments;
        Ok(launch)
    }
}

/// What a handler's program is looked for with.
pub(super) struct Lookup<'l> {
    pub(super) runtime: &'l str,
    pub(super) handler: &'l str,
    pub(super) directory: &'l Path,
    pub(super) opt: Option<&'l Path>,
    pub(super) settings: &'l FunctionSettings,
    pub(super) places: Places<'l>,
}

impl Lookup<'_> {
    fn find(&self) -> Result<Found, String> {
        let (runtime, handler, directory) = (self.runtime, self.handler, self.directory);
        let launch = Launch {
            directory: directory.to_owned(),
            handler: handler.to_owned(),
            runtime: Some(runtime.to_owned()),
            ..Launch::default()
        };
        let language = if runtime.starts_with("python3") {
            Language::Python
        } else if runtime.starts_with("nodejs") {
            Language::Node
        } else {
            let (program, arguments) = runtimes::find(self)?;
            return Ok(Found::Program(Launch {
                program,
                arguments,
                ..launch
            }));
        };
        let candidates = interpreter::find(
            language,
            runtime,
            directory,
            self.places.search_path,
            std::env::var_os("VIRTUAL_ENV").as_deref(),
        )?;
        let typescript = match language {
            Language::Python => None,
            Language::Node => typescript::find(self)?,
        };
        if typescript.is_none() {
            check_handler(
                language,
                handler,
                directory,
                candidates.has_virtual_environment || self.opt.is_some(),
            )?;
        }
        Ok(Found::Handler {
            language,
            candidates,
            launch,
            typescript,
            wrapper: self.wrapper()?,
        })
    }

    /// The script that `AWS_LAMBDA_EXEC_WRAPPER` names, where that is here.
    ///
    /// Source: Lambda developer guide, "Modifying the runtime environment", wrapper scripts.
    fn wrapper(&self) -> Result<Option<PathBuf>, String> {
        const NAME: &str = "AWS_LAMBDA_EXEC_WRAPPER";
        let Some(text) = self.settings.environment.get(NAME) else {
            return Ok(None);
        };
        let place = if let Some(rest) = text.strip_prefix("/opt/") {
            self.opt.map(|opt| opt.join(rest))
        } else if let Some(rest) = text.strip_prefix("/var/task/") {
            Some(self.directory.join(rest))
        } else {
            Some(self.directory.join(text))
        };
        match place.filter(|place| interpreter::is_executable(place)) {
            Some(place) => Ok(Some(place)),
            None => Err(format!(
                "{NAME} names {text}, and no layer and no code has an executable there"
            )),
        }
    }
}

/// Whether the file that `handler` names is there, as far as that can be told from outside.
fn check_handler(
    language: Language,
    handler: &str,
    directory: &Path,
    may_be_elsewhere: bool,
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
            // A virtual environment or a layer may hold the module; loading it will tell.
            if exists || may_be_elsewhere {
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
            if installed
                || may_be_elsewhere
                || ["", ".js", ".mjs", ".cjs"].iter().any(|e| with(e).exists())
            {
                return Ok(());
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
        ..Launch::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(runtime: &str, handler: &str, directory: &Path) -> FunctionSettings {
        let mut settings = super::super::tests::settings();
        settings.place = FunctionPlace::Runtime {
            runtime: crate::model::Spanned {
                value: runtime.to_owned(),
                span: crate::source::Span::default(),
            },
            handler: handler.to_owned(),
            code_uri: directory.to_owned(),
        };
        settings
    }

    fn complaint(runtime: &str, handler: &str, directory: &Path) -> String {
        let search_path = std::env::var_os("PATH");
        let places = Places {
            search_path: search_path.as_deref(),
            cache: Path::new("/nowhere"),
        };
        match find(&settings(runtime, handler, directory), places) {
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
            ("perl5", "app.handler", folder.path(), "is not known here"),
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
    fn another_version_than_the_runtimes_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("python3.11");
        std::fs::write(&program, "").unwrap();
        let launch = |runtime: &str| Launch {
            program: program.clone(),
            directory: folder.path().to_owned(),
            runtime: Some(runtime.to_owned()),
            ..Launch::default()
        };

        assert_eq!(launch("python3.11").other_version(), None);
        let other = launch("python3.12").other_version();
        assert_eq!(other.as_deref(), Some("python3.11"));
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
