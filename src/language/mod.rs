//! The languages inside an API definition, and what they run on.
//!
//! Everything here is pure: text in, program out; values in, value out. Nothing
//! reads a file, a clock or the network, and a program once compiled is shared
//! by all requests.

pub mod json_schema;
pub mod jsonpath;
pub mod vtl;
