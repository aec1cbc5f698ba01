//! The clients of the Runtime API that the program carries for Python and Node.js.
//!
//! They are handed to the interpreter on its command line (`python -c`,
//! `node -e`): nothing is written to disk, so there is no file that could be
//! stale, shared between users or tampered with, and measured it starts as fast
//! as a file would.

/// Runs a Python handler; for `python3 -c`.
pub(super) const PYTHON: &str = include_str!("bootstrap/python.py");

/// Runs a Node.js handler; for `node -e`.
pub(super) const NODE: &str = include_str!("bootstrap/node.cjs");
