//! The clients of the Runtime API that the gateway carries for Python and Node.js.
//!
//! They are handed over on the command line; only a wrapper script, which expects a
//! file, gets them written to the folder that stands for `/var/runtime`.

use std::path::{Path, PathBuf};

use super::interpreter::Language;
use super::unpack;

/// Runs a Python handler: the argument of `python -c`.
pub(super) const PYTHON: &str = include_str!("bootstrap/python.py");

/// Runs a Node.js handler: the argument of `node -e`.
pub(super) const NODE: &str = include_str!("bootstrap/node.cjs");

/// Writes the client of `language` into `folder`, and gives its path.
///
/// # Errors
///
/// Where it cannot be written.
pub(super) fn write(language: Language, folder: &Path) -> std::io::Result<PathBuf> {
    let (name, text) = match language {
        Language::Python => ("bootstrap.py", PYTHON),
        Language::Node => ("index.cjs", NODE),
    };
    let file = folder.join(name);
    if std::fs::read_to_string(&file).is_ok_and(|there| there == text) {
        return Ok(file);
    }
    if let Some(cache) = folder.parent() {
        unpack::make_cache(cache)?;
    }
    std::fs::create_dir_all(folder)?;
    // Another process may read it meanwhile: it sees the old file or the new one.
    let partial = unpack::partial_of(&file);
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, &file)?;
    Ok(file)
}
