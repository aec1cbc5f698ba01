//! Text to nodes: YAML and JSON with the place of everything, and findings drawn
//! with the lines they speak of.
//!
//! [`Sources`] keeps every file that was read; a [`Span`] points into one of
//! them. [`Sources::load`] turns a file into a tree of [`Node`]s, whose scalars
//! stay text until somebody asks for a type. What is wrong with a file is
//! collected in [`Diagnostics`] while reading goes on.

mod block;
pub mod codes;
pub mod diagnostic;
mod draw;
mod json;
mod nearest;
pub mod node;
mod registry;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use draw::{draw, json_line};
pub use nearest::nearest;
pub use node::{FileId, Mapping, Node, Span, Value};
pub use registry::{Location, Sources};
