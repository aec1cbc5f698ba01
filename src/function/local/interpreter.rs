//! Which `python3` or `node` runs a function.
//!
//! A project's virtual environment comes first, then what `PATH` has. Version
//! managers put small programs in front of interpreters (shims), which cost 200
//! to 500 ms at every start: such a one is asked once for the real interpreter.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How far up from the code a virtual environment is looked for. The root of a
/// repository ends the search, and so does a folder that anyone may write to: what
/// lies in `/tmp` may be anybody's.
const FOLDERS_UP: usize = 6;

/// How long a shim may take to say where the interpreter is.
const SHIM_PATIENCE: Duration = Duration::from_secs(15);

/// Files by which version managers choose a version for a folder and all below it.
const VERSION_FILES: [&str; 6] = [
    ".python-version",
    ".node-version",
    ".nvmrc",
    ".tool-versions",
    "mise.toml",
    ".mise.toml",
];

/// What shims have answered, by the shims and the folder whose version file they obey.
static ANSWERS: Mutex<Option<HashMap<Question, PathBuf>>> = Mutex::new(None);

type Question = (Vec<PathBuf>, Option<PathBuf>);

/// A language whose interpreter is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// Python 3.
    Python,
    /// Node.js.
    Node,
}

/// An interpreter's programs, best first; all of them exist.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    /// Programs to try.
    pub(super) programs: Vec<PathBuf>,
    /// The first belongs to a virtual environment, so that modules may be there.
    pub(super) has_virtual_environment: bool,
}

/// Looks for the interpreter of `runtime` (`python3.12`, `nodejs20.x`) for code in `directory`.
///
/// `active_environment` is the virtual environment of the gateway's own shell
/// (`VIRTUAL_ENV`), for projects that keep theirs elsewhere.
///
/// # Errors
///
/// What is missing and what to do.
pub(super) fn find(
    language: Language,
    runtime: &str,
    directory: &Path,
    search_path: Option<&OsStr>,
    active_environment: Option<&OsStr>,
) -> Result<Candidates, String> {
    let mut programs = Vec::new();
    let mut has_virtual_environment = false;
    let names = match language {
        Language::Python => {
            if let Some(program) = virtual_environment(directory) {
                programs.push(program);
                has_virtual_environment = true;
            } else if let Some(active) = active_environment {
                let program = Path::new(active).join("bin/python");
                if is_executable(&program) {
                    programs.push(program);
                    has_virtual_environment = true;
                }
            }
            vec![runtime, "python3", "python"]
        }
        Language::Node => vec!["node"],
    };
    for name in &names {
        programs.extend(on_path(name, search_path));
    }
    if programs.is_empty() {
        let (language, command) = match language {
            Language::Python => ("Python", "`python3`"),
            Language::Node => ("Node.js", "`node`"),
        };
        return Err(format!(
            "runtime {runtime} needs {language}, and no {command} is on PATH: install {language}, or name a program with `command`"
        ));
    }
    Ok(Candidates {
        programs,
        has_virtual_environment,
    })
}

/// The first candidate that is an interpreter, or that names one when asked from
/// `directory`. An answer holds for all functions for which the question is the same.
///
/// # Errors
///
/// None of them works.
pub(super) async fn resolve(
    language: Language,
    candidates: &Candidates,
    directory: &Path,
) -> Result<PathBuf, String> {
    let question = || {
        let version_folder = directory
            .ancestors()
            .find(|folder| VERSION_FILES.iter().any(|name| folder.join(name).exists()));
        (
            candidates.programs.clone(),
            version_folder.map(Path::to_owned),
        )
    };
    let mut complaint = String::new();
    for (position, program) in candidates.programs.iter().enumerate() {
        if is_interpreter(language, program) {
            return Ok(program.clone());
        }
        if position == 0 {
            let answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(real) = answers.as_ref().and_then(|known| known.get(&question())) {
                return Ok(real.clone());
            }
        }
        match ask(language, program, directory).await {
            Ok(real) => {
                let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
                answers
                    .get_or_insert_default()
                    .insert(question(), real.clone());
                return Ok(real);
            }
            Err(error) => {
                if complaint.is_empty() {
                    complaint = format!("{}: {error}", program.display());
                }
            }
        }
    }
    Err(format!(
        "no interpreter could be started ({complaint}): install it, or name a program with `command`"
    ))
}

/// The Python of the nearest `.venv` or `venv` in or above `directory`.
fn virtual_environment(directory: &Path) -> Option<PathBuf> {
    for folder in directory.ancestors().take(FOLDERS_UP + 1) {
        if is_open_to_all(folder) {
            break;
        }
        for name in [".venv", "venv"] {
            for program in ["bin/python", "Scripts/python.exe"] {
                let program = folder.join(name).join(program);
                if is_executable(&program) {
                    return Some(program);
                }
            }
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    None
}

/// Whether every user of this machine may put files into `folder`.
fn is_open_to_all(folder: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        folder
            .metadata()
            .is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        false
    }
}

/// Every program called `name` in the folders of `search_path`, in order.
pub(super) fn on_path<'a>(
    name: &'a str,
    search_path: Option<&'a OsStr>,
) -> impl Iterator<Item = PathBuf> + 'a {
    search_path
        .into_iter()
        .flat_map(std::env::split_paths)
        .map(move |folder| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
        .filter(|program| is_executable(program))
}

/// Whether `path` is a file that may be run.
pub(super) fn is_executable(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else {
        return false;
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
    }
    #[cfg(not(unix))]
    metadata.is_file()
}

/// Whether `program` is an interpreter itself: no script, and behind all links still called so.
fn is_interpreter(language: Language, program: &Path) -> bool {
    let mut start = [0; 2];
    let is_script = std::fs::File::open(program)
        .and_then(|mut file| file.read_exact(&mut start))
        .map_or(true, |()| start == *b"#!");
    let expected = match language {
        Language::Python => "python",
        Language::Node => "node",
    };
    !is_script
        && program.canonicalize().is_ok_and(|real| {
            real.file_name()
                .and_then(OsStr::to_str)
                .is_some_and(|name| name.to_ascii_lowercase().starts_with(expected))
        })
}

/// Asks `program` where the interpreter behind it is.
async fn ask(language: Language, program: &Path, directory: &Path) -> Result<PathBuf, String> {
    let arguments = match language {
        Language::Python => ["-c", "import sys; print(sys.executable)"],
        Language::Node => ["-p", "process.execPath"],
    };
    let run = tokio::process::Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SHIM_PATIENCE, run)
        .await
        .map_err(|_| format!("no answer in {} s", SHIM_PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    let real = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && is_executable(&real) {
        return Ok(real);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().next().unwrap_or("it failed").to_owned())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_virtual_environment_above_the_code_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join(".venv/bin/python");
        program(&python, "#!/bin/sh\n");
        let code = folder.path().join("functions/pets");

        let found = find(Language::Python, "python3.12", &code, None, None).unwrap();

        assert_eq!(found.programs, [python]);
        assert!(found.has_virtual_environment);
    }

    #[test]
    fn the_shells_virtual_environment_serves_projects_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let active = folder.path().join("elsewhere");
        program(&active.join("bin/python"), "#!/bin/sh\n");
        let code = Path::new("/nowhere");

        let found = find(
            Language::Python,
            "python3.12",
            code,
            None,
            Some(active.as_os_str()),
        )
        .unwrap();

        assert_eq!(found.programs, [active.join("bin/python")]);
    }

    #[test]
    fn a_virtual_environment_in_a_folder_open_to_all_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        program(&folder.path().join(".venv/bin/python"), "#!/bin/sh\n");
        let open = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(folder.path(), open).unwrap();

        let found = find(
            Language::Python,
            "python3.12",
            &folder.path().join("code"),
            None,
            None,
        );

        assert!(found.is_err());
    }

    #[test]
    fn the_runtimes_own_version_comes_before_any_python() {
        let folder = tempfile::tempdir().unwrap();
        let (any, exact) = (
            folder.path().join("python3"),
            folder.path().join("python3.12"),
        );
        program(&any, "#!/bin/sh\n");
        program(&exact, "#!/bin/sh\n");

        let found = find(
            Language::Python,
            "python3.12",
            Path::new("/nowhere"),
            Some(folder.path().as_os_str()),
            None,
        )
        .unwrap();

        assert_eq!(found.programs, [exact, any]);
    }

    #[test]
    fn a_missing_interpreter_is_named_with_the_way_out() {
        let complaint = find(
            Language::Node,
            "nodejs20.x",
            Path::new("/nowhere"),
            None,
            None,
        )
        .map(|_| ())
        .unwrap_err();

        assert!(complaint.contains("nodejs20.x"), "{complaint}");
        assert!(complaint.contains("install Node.js"), "{complaint}");
    }

    #[tokio::test]
    async fn a_shim_is_asked_for_the_interpreter_and_a_broken_one_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real/python3");
        program(&real, "#!/bin/sh\n");
        let broken = folder.path().join("broken");
        program(&broken, "#!/bin/sh\necho not installed >&2; exit 127\n");
        let shim = folder.path().join("shim");
        program(&shim, &format!("#!/bin/sh\necho {}\n", real.display()));
        let candidates = |programs: Vec<PathBuf>| Candidates {
            programs,
            has_virtual_environment: false,
        };

        let found = resolve(
            Language::Python,
            &candidates(vec![broken.clone(), shim]),
            folder.path(),
        )
        .await;
        let none = resolve(Language::Python, &candidates(vec![broken]), folder.path()).await;

        assert_eq!(found.unwrap(), real);
        assert!(none.unwrap_err().contains("not installed"));
    }
}
