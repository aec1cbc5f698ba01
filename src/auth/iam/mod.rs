//! IAM: who signed a request, and what policies let him do.

pub mod condition;
pub mod pattern;
pub mod policy;
pub mod request_keys;

pub use policy::{Ask, Attached, Decision, Policy, Principal};
