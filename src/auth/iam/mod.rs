//! IAM: who signed a request, and what policies let him do.

pub mod condition;
pub mod pattern;
pub mod policy;
pub mod request_keys;
pub mod sigv4;
pub mod users;

pub use policy::{Ask, Attached, Decision, Policy, Principal};
pub use sigv4::{Signature, SignatureFault};
pub use users::{IamUser, IamUsers};
