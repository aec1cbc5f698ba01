//! tollgate: a local, serverless-style gateway that answers as AWS API Gateway does.
//!
//! # The rooms
//!
//! The modules below are rooms in one direction: each may use the ones above
//! it in this list, none below. A definition is read into the model, the model
//! is compiled into a plan once, and a request walks the plan.

pub mod base;

pub mod source;

pub mod model;

pub mod language;

pub mod observe;

pub mod store;

pub mod definition;

pub mod event;

pub mod http_client;

pub mod function;

pub mod limit;

pub mod auth;

pub mod integration;

pub mod plan;

pub mod gateway;

pub mod admin;

pub mod server;

pub mod cli;

pub use gateway::Gateway;
