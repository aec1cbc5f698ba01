//! Text to nodes: YAML and JSON with the place of everything, and findings drawn
//! with the lines they speak of.

pub mod diagnostic;
pub mod node;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use node::{FileId, Mapping, Node, Span, Value};
