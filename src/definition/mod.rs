//! Definitions to the model: OpenAPI documents and the gateway's own configuration.
//!
//! Readers collect as many findings as they can and go on; a broken part is
//! left out of the model and named in [`Diagnostics`](crate::source::Diagnostics).
//! What AWS's import would refuse is an error, what it would ignore a warning.

mod function_life;
mod intrinsics;
pub mod openapi;
mod rate_limits;
pub mod settings;
pub mod template;
mod user_pools;
mod values;
