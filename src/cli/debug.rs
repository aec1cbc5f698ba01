//! `--debug FUNCTION[:PORT]`: which functions run under a debugger, and where it listens.

use std::net::{Ipv4Addr, TcpListener};
use std::str::FromStr;

use anyhow::{Result, bail};
use indexmap::IndexMap;

use super::invoke::unknown;
use super::{Loaded, ServeOptions};
use crate::base::FunctionArn;
use crate::function::local::Debugger;
use crate::model::settings::FunctionPlace;

/// `FUNCTION` or `FUNCTION:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugTarget {
    function: String,
    port: Option<u16>,
}

impl FromStr for DebugTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (function, port) = match text.rsplit_once(':') {
            Some((function, port))
                if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) =>
            {
                let port = port
                    .parse()
                    .map_err(|_| format!("{port} is no port: it is a number up to 65535"))?;
                (function, Some(port))
            }
            _ => (text, None),
        };
        if FunctionArn::parse(function).is_none() {
            return Err("expected FUNCTION or FUNCTION:PORT".to_owned());
        }
        Ok(Self {
            function: function.to_owned(),
            port,
        })
    }
}

/// The debuggers that were asked for, by the functions' keys.
///
/// # Errors
///
/// No such function, one that does not run here, or a port that is in use.
pub(super) fn debuggers(
    options: &ServeOptions,
    loaded: &Loaded,
) -> Result<IndexMap<String, Debugger>> {
    let mut debuggers: IndexMap<String, Debugger> = IndexMap::new();
    for target in &options.debug {
        let name = target.function.as_str();
        let functions = &loaded.settings.functions;
        let is_it = |key: &str| {
            key == name
                || loaded.function_ids.get(key).is_some_and(|id| id == name)
                || FunctionArn::parse(key).is_some_and(|arn| arn.name == name)
        };
        let Some((key, settings)) = functions.iter().find(|(key, _)| is_it(key)) else {
            bail!("--debug: {}", unknown(loaded, name));
        };
        let usual = match &settings.place {
            FunctionPlace::Runtime { runtime, .. } if runtime.value.starts_with("python") => {
                Some(5678)
            }
            FunctionPlace::Runtime { runtime, .. } if runtime.value.starts_with("nodejs") => {
                Some(9229)
            }
            FunctionPlace::Runtime { .. } | FunctionPlace::Command { .. } => None,
            FunctionPlace::Endpoint { .. } | FunctionPlace::Handler { .. } => {
                bail!(
                    "--debug: the function `{name}` runs elsewhere, not as a process of this gateway"
                )
            }
        };
        let port = match (usual, target.port) {
            (None, None) => None,
            (None, Some(_)) => bail!(
                "--debug: no debugger is known for the runtime of `{name}`; without a port its timeouts are suspended, and its process is debugged from outside"
            ),
            (Some(_), Some(0)) => Some(free_port()?),
            (Some(_), Some(port)) if is_free(port) => Some(port),
            (Some(_), Some(port)) => bail!(
                "--debug: port {port} is in use by another program: stop that one, or take another port"
            ),
            (Some(usual), None) => {
                let taken = |port| debuggers.values().any(|other| other.port == Some(port));
                let near = (usual..usual + 20).find(|port| !taken(*port) && is_free(*port));
                Some(match near {
                    Some(port) => port,
                    None => free_port()?,
                })
            }
        };
        let debugger = Debugger {
            port,
            wait: options.debug_wait,
        };
        debuggers.insert(key.clone(), debugger);
    }
    Ok(debuggers)
}

/// Lines for people on where debuggers are waited for.
pub(super) fn lines(debuggers: &IndexMap<String, Debugger>) -> Vec<String> {
    let line = |(function, debugger): (&String, &Debugger)| match debugger.port {
        Some(port) => {
            let wait = if debugger.wait {
                "; its code waits for a debugger"
            } else {
                ""
            };
            format!(
                "debug {function}: attach to 127.0.0.1:{port}; its timeouts are suspended{wait}"
            )
        }
        None => format!(
            "debug {function}: no debugger is known for its runtime; its timeouts are suspended"
        ),
    };
    debuggers.iter().map(line).collect()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_stands_behind_the_last_colon() {
        let target = |text: &str| {
            text.parse()
                .map(|DebugTarget { function, port }| (function, port))
        };

        assert_eq!(target("pets"), Ok(("pets".to_owned(), None)));
        assert_eq!(target("pets:5678"), Ok(("pets".to_owned(), Some(5678))));
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:pets";
        assert_eq!(target(arn), Ok((arn.to_owned(), None)));
        assert!(target("pets:99999").is_err());
        assert!(target(":1").is_err());
    }
}
