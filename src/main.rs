//! The `tollgate` program.

use std::process::ExitCode;

use tollgate::cli::{Cli, say};

fn main() -> ExitCode {
    match Cli::from_arguments().run() {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}
