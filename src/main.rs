//! The `tollgate` program.
use tollgate::definition::{openapi, settings};
use tollgate::server::{self, Listeners, Options};
use tollgate::source::{Diagnostics, Sources};
#[tokio::main]
async fn main() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args: Vec<String> = std::env::args().skip(2).collect();
    let get = |flag: &str| {
        args.iter()
            .position(|a| a == flag)
            .map(|i| args[i + 1].clone())
    };
    let mut sources = Sources::new();
    let mut findings = Diagnostics::default();
    let settings = match get("--config") {
        Some(path) => {
            let file = sources.add_path(path.as_ref()).unwrap();
            settings::read(&sources, file, &mut findings)
        }
        None => Default::default(),
    };
    let file = sources.add_path(args[0].as_ref()).unwrap();
    let api = openapi::read(&mut sources, file, &settings, &mut findings);
    let apis: Vec<_> = api.into_iter().collect();
    let (plan, functions) =
        server::assemble(&apis, &settings, server::Extras::default(), &mut findings);
    findings.lenient();
    eprintln!("{}", findings.draw(&sources, false));
    if findings.has_errors() {
        std::process::exit(1);
    }
    let gateway = tollgate::Gateway::new(plan, Default::default());
    let listeners = Listeners::bind(
        get("--host").as_deref(),
        get("--port").unwrap().parse().unwrap(),
    )
    .await
    .unwrap();
    let stop = async {
        let mut s =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        s.recv().await;
    };
    server::serve(
        listeners,
        server::service(gateway),
        Options::default(),
        stop,
    )
    .await;
    functions.shutdown().await;
}
