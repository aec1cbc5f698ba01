//! Who may pass: tokens, Lambda authorizers, signatures, policies, API keys.
//!
//! The plan compiles a route's protection once; `gateway::authorize` asks each
//! part in AWS's order. Nothing here answers a client: what went wrong is a
//! typed fault, and the gateway decides how it is told.

pub mod bounded_cache;
pub mod cognito;
pub mod iam;
pub mod identity_source;
pub mod issuer;
pub mod jwt;
pub mod lambda_authorizer;
pub mod resource_policy;
pub mod user_pool;

pub use issuer::Issuers;
