//! Languages whose programs run with AWS's own runtime clients: Ruby, Java, .NET,
//! and executables (Go, Rust and others).
//!
//! Only how each is started stands here; `docs/functions.md` has the command that
//! gets each client.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::interpreter;
use super::launch::Lookup;

/// Java's client.
const JAVA_CLIENT: &str = "com/amazonaws/services/lambda/runtime/api/client/AWSLambda.class";
const JAVA_CLIENT_JAR: &str = "aws-lambda-java-runtime-interface-client";

/// .NET's client.
const DOTNET_CLIENT: &str = "Amazon.Lambda.RuntimeSupport.dll";

/// The program that runs a handler, and its arguments.
type Start = (PathBuf, Vec<OsString>);

/// Finds the program of a runtime that is neither Python's nor Node.js's.
///
/// # Errors
///
/// What is missing, with the command that gets it.
pub(super) fn find(lookup: &Lookup<'_>) -> Result<Start, String> {
    let runtime = lookup.runtime;
    if runtime == "provided" || runtime.starts_with("provided.") {
        executable(lookup, "bootstrap").map(|program| (program, Vec::new()))
    } else if runtime == "go1.x" {
        executable(lookup, lookup.handler).map(|program| (program, Vec::new()))
    } else if runtime.starts_with("ruby") {
        ruby(lookup)
    } else if runtime.starts_with("java") {
        java(lookup)
    } else if runtime.starts_with("dotnet") {
        dotnet(lookup)
    } else {
        Err(format!(
            "runtime {runtime} is not known here: use python3.x, nodejs20.x, ruby3.x, java21, dotnet8 or provided.al2023, or name a program that speaks the Lambda Runtime API with `command`"
        ))
    }
}

/// An executable of the code, or of a layer.
fn executable(lookup: &Lookup<'_>, name: &str) -> Result<PathBuf, String> {
    let runtime = lookup.runtime;
    let own = lookup.directory.join(name);
    let of_layer = lookup.opt.map(|opt| opt.join(name));
    let program = if own.exists() {
        own
    } else if let Some(program) = of_layer.filter(|program| program.exists()) {
        program
    } else {
        return Err(format!(
            "{} does not exist: runtime {runtime} runs an executable of that name; build it, or name a program with `command`",
            own.display()
        ));
    };
    if !interpreter::is_executable(&program) {
        return Err(format!(
            "{0} is not executable: `chmod +x {0}`",
            program.display()
        ));
    }
    Ok(program)
}

fn on_path(lookup: &Lookup<'_>, name: &str, language: &str) -> Result<PathBuf, String> {
    let mut found = interpreter::on_path(name, lookup.places.search_path);
    found.next().ok_or_else(|| {
        format!(
            "runtime {} needs {language}, and no `{name}` is on PATH: install {language}, or name a program with `command`",
            lookup.runtime
        )
    })
}

/// `aws_lambda_ric HANDLER`: through Bundler where the project's bundle has it.
fn ruby(lookup: &Lookup<'_>) -> Result<Start, String> {
    const CLIENT: &str = "aws_lambda_ric";
    let handler = OsString::from(lookup.handler);
    let bundled = lookup
        .directory
        .ancestors()
        .map(|folder| folder.join("Gemfile.lock"))
        .find(|file| file.is_file())
        .and_then(|file| std::fs::read_to_string(file).ok())
        .is_some_and(|lock| lock.contains(CLIENT));
    if bundled {
        let bundle = on_path(lookup, "bundle", "Ruby with Bundler")?;
        return Ok((bundle, vec!["exec".into(), CLIENT.into(), handler]));
    }
    let own = [lookup.directory.join("bin").join(CLIENT)];
    let client = own
        .into_iter()
        .filter(|program| interpreter::is_executable(program))
        .chain(interpreter::on_path(CLIENT, lookup.places.search_path))
        .next();
    match client {
        Some(client) => Ok((client, vec![handler])),
        None => Err(format!(
            "runtime {} needs Lambda's client for Ruby: `gem install {CLIENT}`, or put it into the Gemfile",
            lookup.runtime
        )),
    }
}

/// `java -cp CODE:CODE/lib/* ...AWSLambda HANDLER`.
fn java(lookup: &Lookup<'_>) -> Result<Start, String> {
    let directory = lookup.directory;
    let mut libraries = vec![directory.join("lib")];
    libraries.extend(lookup.opt.map(|opt| opt.join("java/lib")));
    let has_client = directory.join(JAVA_CLIENT).is_file()
        || libraries
            .iter()
            .any(|folder| has_file(folder, JAVA_CLIENT_JAR));
    if !has_client {
        return Err(format!(
            "runtime {} needs Lambda's client for Java in {}: `mvn dependency:copy -Dartifact=com.amazonaws:{JAVA_CLIENT_JAR}:LATEST -DoutputDirectory={}`, or depend on it",
            lookup.runtime,
            directory.display(),
            directory.join("lib").display()
        ));
    }
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let java = match home.filter(|program| interpreter::is_executable(program)) {
        Some(java) => java,
        None => on_path(lookup, "java", "Java")?,
    };
    let mut class_path = directory.as_os_str().to_owned();
    for folder in libraries.iter().filter(|folder| folder.is_dir()) {
        class_path.push(":");
        class_path.push(folder.join("*"));
    }
    let arguments = vec![
        // Lambda's own choice: a quick start matters more than the last cycle.
        "-XX:+TieredCompilation".into(),
        "-XX:TieredStopAtLevel=1".into(),
        "-XX:+UseSerialGC".into(),
        "-cp".into(),
        class_path,
        "com.amazonaws.services.lambda.runtime.api.client.AWSLambda".into(),
        lookup.handler.into(),
    ];
    Ok((java, arguments))
}

/// `dotnet exec … Amazon.Lambda.RuntimeSupport.dll ASSEMBLY::TYPE::METHOD`, or the
/// assembly itself where the handler names no method.
fn dotnet(lookup: &Lookup<'_>) -> Result<Start, String> {
    let directory = lookup.directory;
    let assembly = lookup.handler.split("::").next().unwrap_or_default();
    let file = |ending: &str| directory.join(format!("{assembly}{ending}"));
    if !file(".dll").is_file() {
        return Err(format!(
            "{} does not exist: `dotnet publish -o FOLDER` makes it; name that folder as codeUri",
            file(".dll").display()
        ));
    }
    let dotnet = on_path(lookup, "dotnet", ".NET")?;
    if !lookup.handler.contains("::") {
        return Ok((dotnet, vec![file(".dll").into()]));
    }
    let client = directory.join(DOTNET_CLIENT);
    if !client.is_file() {
        return Err(format!(
            "runtime {} needs Lambda's client for .NET in {}: `dotnet add package Amazon.Lambda.RuntimeSupport`, and publish again",
            lookup.runtime,
            directory.display()
        ));
    }
    let arguments = vec![
        "exec".into(),
        "--depsfile".into(),
        file(".deps.json").into(),
        "--runtimeconfig".into(),
        file(".runtimeconfig.json").into(),
        client.into(),
        lookup.handler.into(),
    ];
    Ok((dotnet, arguments))
}

/// Whether `folder` has a file whose name begins with `start`.
fn has_file(folder: &Path, start: &str) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with(start))
    })
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::launch::Places;
    use super::*;
    use crate::model::settings::FunctionSettings;

    fn file(path: &Path, mode: u32) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What starts `handler` in a folder with these `files`, all tools being installed.
    fn start(runtime: &str, handler: &str, files: &[&str]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let (code, tools) = (folder.path().join("code"), folder.path().join("tools"));
        std::fs::create_dir(&code).unwrap();
        for name in files {
            file(&code.join(name), 0o755);
        }
        for name in ["java", "dotnet", "bundle"] {
            file(&tools.join(name), 0o755);
        }
        let settings: FunctionSettings = super::super::tests::settings();
        let (program, arguments) = find(&Lookup {
            runtime,
            handler,
            directory: &code,
            opt: None,
            settings: &settings,
            places: Places {
                search_path: Some(tools.as_os_str()),
                cache: Path::new("/nowhere"),
            },
        })?;
        let root = folder.path().to_string_lossy().into_owned();
        let words = std::iter::once(program.into_os_string()).chain(arguments);
        Ok(words
            .map(|word| word.to_string_lossy().replace(&root, ""))
            .collect())
    }

    #[test]
    fn each_language_starts_through_its_own_client() {
        let executable = start("provided.al2023", "x", &["bootstrap"]).unwrap();
        let go = start("go1.x", "main", &["main"]).unwrap();
        let ruby = start("ruby3.3", "app.handler", &["bin/aws_lambda_ric"]).unwrap();
        let assembly = start("dotnet8", "App", &["App.dll"]).unwrap();

        assert_eq!(executable, ["/code/bootstrap"]);
        assert_eq!(go, ["/code/main"]);
        assert_eq!(ruby, ["/code/bin/aws_lambda_ric", "app.handler"]);
        assert_eq!(assembly[1..], ["/code/App.dll"]);
    }

    #[test]
    fn dotnet_methods_run_under_the_support_library() {
        let files = ["App.dll", DOTNET_CLIENT];

        let words = start("dotnet8", "App::Type::Method", &files).unwrap();

        assert_eq!(
            words,
            [
                "/tools/dotnet",
                "exec",
                "--depsfile",
                "/code/App.deps.json",
                "--runtimeconfig",
                "/code/App.runtimeconfig.json",
                "/code/Amazon.Lambda.RuntimeSupport.dll",
                "App::Type::Method",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_said_with_the_command_that_gets_it() {
        for (runtime, handler, expected) in [
            ("ruby3.3", "app.handler", "gem install aws_lambda_ric"),
            ("java21", "example.Handler", "mvn dependency:copy"),
            ("dotnet8", "App::T::M", "dotnet publish"),
            ("provided.al2023", "x", "build it"),
        ] {
            let complaint = start(runtime, handler, &[]).unwrap_err();
            assert!(complaint.contains(expected), "{complaint}");
        }
        let complaint = start("dotnet8", "App::T::M", &["App.dll"]).unwrap_err();
        assert!(complaint.contains("dotnet add package"), "{complaint}");
    }

    #[test]
    fn java_has_the_code_and_its_libraries_on_its_class_path() {
        let words = start(
            "java21",
            "example.Handler",
            &["lib/aws-lambda-java-runtime-interface-client-2.6.0.jar"],
        )
        .unwrap();

        // JAVA_HOME, where it is set, names another program.
        assert!(words[0].ends_with("/java"));
        assert_eq!(words[5], "/code:/code/lib/*");
        assert_eq!(words.last().unwrap(), "example.Handler");
    }
}
