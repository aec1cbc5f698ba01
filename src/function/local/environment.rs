//! The environment variables a function process gets: Lambda's, not the developer's.
//!
//! Source: Lambda developer guide, "Using Lambda environment variables" (defined
//! runtime environment variables), and what the official runtime clients read.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::launch::Launch;
use super::{Function, layers};

/// Where the developer's own AWS access comes from; passed on only when asked.
const CREDENTIALS: [&str; 11] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// What an operating system's programs need to find other programs and places.
const SYSTEM: [&str; 6] = ["PATH", "HOME", "TMPDIR", "SystemRoot", "TEMP", "TMP"];

/// All variables of a process of `function` whose Runtime API is at `runtime_api`
/// (`host:port`).
///
/// In order of weight: what the Runtime API's client needs cannot be changed;
/// then the function's own settings, then the variables for all functions, then
/// Lambda's defaults. `outer` reads the gateway's own environment.
pub(super) fn variables(
    function: &Function,
    launch: &Launch,
    runtime_api: &str,
    log_stream: &str,
    outer: impl Fn(&str) -> Option<String>,
) -> IndexMap<String, String> {
    let options = &function.options;
    let mut variables = IndexMap::new();
    let mut set = |name: &str, value: &str| {
        variables.insert(name.to_owned(), value.to_owned());
    };

    for name in SYSTEM {
        if let Some(value) = outer(name) {
            set(name, &value);
        }
    }
    set("LANG", "en_US.UTF-8");
    set("TZ", ":UTC");
    set("AWS_REGION", &options.region);
    set("AWS_DEFAULT_REGION", &options.region);
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
    // X-Ray's SDKs fail calls outside of a traced request without it.
    set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
    if let Some(runtime) = &launch.runtime {
        set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{runtime}"));
    }
    if options.pass_credentials {
        for name in CREDENTIALS {
            if let Some(value) = outer(name) {
                set(name, &value);
            }
        }
    } else {
        // A function always has credentials at AWS. These open nothing, but let an
        // SDK that is pointed at a local endpoint sign; HOME would lead it to the
        // developer's profiles otherwise.
        set("AWS_ACCESS_KEY_ID", "local");
        set("AWS_SECRET_ACCESS_KEY", "local");
        set("AWS_SESSION_TOKEN", "local");
        set("AWS_CONFIG_FILE", NOWHERE);
        set("AWS_SHARED_CREDENTIALS_FILE", NOWHERE);
        set("AWS_EC2_METADATA_DISABLED", "true");
    }

    let own = |name: &str| {
        function.settings.environment.contains_key(name) || options.environment.contains_key(name)
    };
    // Whoever leads all services elsewhere means Lambda, too.
    if let Some(url) = options.lambda_endpoint.get()
        && !own("AWS_ENDPOINT_URL")
    {
        set("AWS_ENDPOINT_URL_LAMBDA", url);
    }
    for (name, value) in options
        .environment
        .iter()
        .chain(&function.settings.environment)
    {
        set(name, value);
    }

    for (name, places) in search_paths(launch) {
        let own = variables.get(name).filter(|value| !value.is_empty());
        let places = own.map(PathBuf::from).into_iter().chain(places);
        // A folder whose name has the separator in it cannot be in such a list.
        let kept = places.filter(|place| {
            is_plain(place) || own.is_some_and(|own| place.as_os_str() == own.as_str())
        });
        let kept: Vec<String> = kept
            .map(|place| place.to_string_lossy().into_owned())
            .collect();
        variables.insert(name.to_owned(), kept.join(SEPARATOR));
    }
    let mut set = |name: &str, value: &str| {
        variables.insert(name.to_owned(), value.to_owned());
    };
    set("AWS_LAMBDA_RUNTIME_API", runtime_api);
    set(
        "LAMBDA_RUNTIME_DIR",
        &launch.runtime_directory.to_string_lossy(),
    );
    set("_HANDLER", &launch.handler);
    set("LAMBDA_TASK_ROOT", &launch.directory.to_string_lossy());
    set("AWS_LAMBDA_FUNCTION_NAME", &function.name);
    set("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    set(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        &function.settings.memory_size.to_string(),
    );
    set(
        "AWS_LAMBDA_LOG_GROUP_NAME",
        &format!("/aws/lambda/{}", function.name),
    );
    set("AWS_LAMBDA_LOG_STREAM_NAME", log_stream);
    variables
}

#[cfg(unix)]
const SEPARATOR: &str = ":";
#[cfg(not(unix))]
const SEPARATOR: &str = ";";

fn is_plain(place: &Path) -> bool {
    !place.to_string_lossy().contains(SEPARATOR)
}

/// Where programs, libraries and modules are looked for, behind what the function
/// itself says: in the code and in what stands for `/opt`.
///
/// Source: Lambda developer guide, "Using Lambda environment variables" and "Adding
/// layers to functions".
fn search_paths(launch: &Launch) -> Vec<(&'static str, Vec<PathBuf>)> {
    let code = &launch.directory;
    let opt = launch.opt.as_deref();
    let of_opt = |places: &[&str]| -> Vec<PathBuf> {
        let places = places.iter();
        opt.iter()
            .flat_map(|opt| places.clone().map(|place| opt.join(place)))
            .collect()
    };
    let mut paths = Vec::new();
    let mut libraries = vec![code.clone(), code.join("lib")];
    libraries.extend(of_opt(&["lib"]));
    paths.push(("LD_LIBRARY_PATH", libraries));
    if opt.is_some() {
        paths.push(("PATH", of_opt(&["bin"])));
    }
    let runtime = launch.runtime.as_deref().unwrap_or_default();
    // A layer that `sam build` has not made yet holds the packages themselves.
    let unbuilt: Vec<PathBuf> = opt
        .filter(|opt| !layers::is_built(opt))
        .map(Path::to_owned)
        .into_iter()
        .collect();
    if runtime.starts_with("python") {
        let site_packages = format!("python/lib/{runtime}/site-packages");
        let mut places = of_opt(&["python", &site_packages]);
        places.extend(unbuilt);
        if !places.is_empty() {
            paths.push(("PYTHONPATH", places));
        }
    } else if let Some(version) = runtime.strip_prefix("nodejs") {
        let major = version.split('.').next().unwrap_or_default();
        let versioned = format!("nodejs/node{major}/node_modules");
        let mut places = of_opt(&[&versioned, "nodejs/node_modules", "nodejs"]);
        places.extend(unbuilt);
        places.extend(launch.modules.iter().cloned());
        places.push(code.clone());
        paths.push(("NODE_PATH", places));
    } else if let Some(version) = runtime.strip_prefix("ruby") {
        let mut gems = of_opt(&[&format!("ruby/gems/{version}.0"), "ruby/gems"]);
        gems.push(code.join(format!("vendor/bundle/ruby/{version}.0")));
        // An empty place at the end stands for Ruby's own: without it, gems that the
        // user has installed would be hidden, and Lambda's client among them.
        gems.push(PathBuf::new());
        paths.push(("GEM_PATH", gems));
        let mut libraries = vec![code.clone()];
        libraries.extend(of_opt(&["ruby/lib"]));
        paths.push(("RUBYLIB", libraries));
    }
    paths
}

#[cfg(unix)]
const NOWHERE: &str = "/dev/null";
#[cfg(not(unix))]
const NOWHERE: &str = "NUL";

/// A log stream's name as Lambda makes them: `2026/11/02/[$LATEST]` and 32 hexadecimal digits.
pub(super) fn log_stream(epoch: std::time::Duration) -> String {
    let date = timestamp(epoch).strftime("%Y/%m/%d").to_string();
    format!("{date}/[$LATEST]{:032x}", fastrand::u128(..))
}

/// `epoch` as a point in time; 1970 for one beyond the calendar.
pub(super) fn timestamp(epoch: std::time::Duration) -> jiff::Timestamp {
    i64::try_from(epoch.as_millis())
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::function;
    use super::super::{LocalOptions, launch::Launch};
    use super::*;

    fn launch() -> Launch {
        Launch {
            program: PathBuf::from("python3"),
            directory: PathBuf::from("/code"),
            handler: "app.handler".to_owned(),
            runtime: Some("python3.12".to_owned()),
            ..Launch::default()
        }
    }

    fn outer(name: &str) -> Option<String> {
        match name {
            "PATH" => Some("/bin".to_owned()),
            "AWS_ACCESS_KEY_ID" => Some("AKIDREAL".to_owned()),
            "AWS_PROFILE" => Some("work".to_owned()),
            "EDITOR" => Some("vi".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn the_developers_credentials_and_other_variables_stay_outside() {
        let function = function(LocalOptions::default());

        let variables = variables(&function, &launch(), "127.0.0.1:9", "stream", outer);

        assert_eq!(variables["PATH"], "/bin");
        assert_eq!(variables["AWS_ACCESS_KEY_ID"], "local");
        assert!(!variables.contains_key("AWS_PROFILE"));
        assert!(!variables.contains_key("EDITOR"));
    }

    #[test]
    fn what_lambda_tells_its_functions_is_there() {
        let mut function = function(LocalOptions {
            region: "eu-west-3".to_owned(),
            ..LocalOptions::default()
        });
        function.settings.memory_size = 1769;
        let launch = Launch {
            runtime_directory: PathBuf::from("/runtime"),
            ..launch()
        };

        let variables = variables(&function, &launch, "127.0.0.1:9", "stream", outer);

        let group = format!("/aws/lambda/{}", function.name);
        for (name, value) in [
            ("AWS_REGION", "eu-west-3"),
            ("AWS_DEFAULT_REGION", "eu-west-3"),
            ("AWS_LAMBDA_FUNCTION_NAME", function.name.as_str()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", group.as_str()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("LAMBDA_TASK_ROOT", "/code"),
            ("LAMBDA_RUNTIME_DIR", "/runtime"),
            ("LANG", "en_US.UTF-8"),
            ("TZ", ":UTC"),
        ] {
            assert_eq!(variables[name], value, "{name}");
        }
        // It is an invocation's: the runtime's client sets it.
        assert!(!variables.contains_key("_X_AMZN_TRACE_ID"));
    }

    #[test]
    fn credentials_pass_when_asked() {
        let function = function(LocalOptions {
            pass_credentials: true,
            ..LocalOptions::default()
        });

        let variables = variables(&function, &launch(), "127.0.0.1:9", "stream", outer);

        assert_eq!(variables["AWS_ACCESS_KEY_ID"], "AKIDREAL");
        assert_eq!(variables["AWS_PROFILE"], "work");
        assert!(!variables.contains_key("AWS_CONFIG_FILE"));
    }

    #[test]
    fn settings_outweigh_the_file_and_lambda_outweighs_settings() {
        let mut function = function(LocalOptions {
            environment: IndexMap::from([
                ("A".to_owned(), "file".to_owned()),
                ("B".to_owned(), "file".to_owned()),
            ]),
            ..LocalOptions::default()
        });
        function.settings.environment = IndexMap::from([
            ("A".to_owned(), "settings".to_owned()),
            ("TZ".to_owned(), "Europe/Rome".to_owned()),
            ("AWS_LAMBDA_RUNTIME_API".to_owned(), "elsewhere".to_owned()),
        ]);

        let variables = variables(&function, &launch(), "127.0.0.1:9", "stream", outer);

        assert_eq!(variables["A"], "settings");
        assert_eq!(variables["B"], "file");
        assert_eq!(variables["TZ"], "Europe/Rome");
        assert_eq!(variables["AWS_LAMBDA_RUNTIME_API"], "127.0.0.1:9");
        assert_eq!(variables["_HANDLER"], "app.handler");
        assert_eq!(variables["AWS_EXECUTION_ENV"], "AWS_Lambda_python3.12");
    }

    #[test]
    fn lambda_is_reached_here_unless_the_settings_lead_elsewhere() {
        let options = LocalOptions::default();
        options
            .lambda_endpoint
            .set("http://127.0.0.1:3001".to_owned())
            .unwrap();
        let endpoint = |name: &str| {
            let mut function = function(options.clone());
            let own = (name.to_owned(), "http://elsewhere".to_owned());
            function.settings.environment = IndexMap::from([own]);
            variables(&function, &launch(), "127.0.0.1:9", "stream", outer)
                .get("AWS_ENDPOINT_URL_LAMBDA")
                .cloned()
        };

        assert_eq!(endpoint("A").as_deref(), Some("http://127.0.0.1:3001"));
        assert_eq!(
            endpoint("AWS_ENDPOINT_URL_LAMBDA").as_deref(),
            Some("http://elsewhere")
        );
        assert_eq!(endpoint("AWS_ENDPOINT_URL"), None);
    }

    #[test]
    fn layers_are_on_every_search_path_behind_the_functions_own() {
        let mut function = function(LocalOptions::default());
        let own = ("PYTHONPATH".to_owned(), "/own:/more".to_owned());
        function.settings.environment = IndexMap::from([own]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("python")).unwrap();
        let opt = folder.path().to_string_lossy().into_owned();
        let launch = |runtime: &str| Launch {
            runtime: Some(runtime.to_owned()),
            opt: Some(folder.path().to_owned()),
            ..launch()
        };
        let of = |runtime: &str| variables(&function, &launch(runtime), "a", "s", outer);

        let python = of("python3.12");
        assert_eq!(python["PATH"], format!("/bin:{opt}/bin"));
        assert_eq!(
            python["PYTHONPATH"],
            format!("/own:/more:{opt}/python:{opt}/python/lib/python3.12/site-packages")
        );
        assert_eq!(
            python["LD_LIBRARY_PATH"],
            format!("/code:/code/lib:{opt}/lib")
        );
        assert_eq!(
            of("nodejs20.x")["NODE_PATH"],
            format!(
                "{opt}/nodejs/node20/node_modules:{opt}/nodejs/node_modules:{opt}/nodejs:/code"
            )
        );
        let ruby = of("ruby3.3");
        assert_eq!(
            ruby["GEM_PATH"],
            format!("{opt}/ruby/gems/3.3.0:{opt}/ruby/gems:/code/vendor/bundle/ruby/3.3.0:")
        );
        assert_eq!(ruby["RUBYLIB"], format!("/code:{opt}/ruby/lib"));
    }

    #[test]
    fn log_streams_are_named_by_date() {
        let name = log_stream(Duration::from_secs(86_400));

        assert!(name.starts_with("1970/01/02/[$LATEST]"), "{name}");
    }
}
