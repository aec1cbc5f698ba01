//! The `tollgate` program.

use std::process::ExitCode;

use clap::Parser;
use tollgate::cli::render::Render;

#[derive(Parser)]
#[command(version, about)]
enum Command {
    Render(Render),
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Render(render) => render.run(),
    }
}
