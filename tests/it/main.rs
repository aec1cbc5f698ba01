//! Integration tests: one binary, a module per room.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod auth;
mod cli;
mod definition;
mod destinations;
mod events;
mod function_life;
mod function_urls;
mod functions;
mod gateway;
mod http_api;
mod limit;
mod local_functions;
mod observe;
mod rest;
mod rooms;
mod server;
mod strangers;
mod template;
mod vtl;
