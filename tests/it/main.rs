//! Integration tests: one binary, a module per room.

mod cli;
mod definition;
mod gateway;
mod local_functions;
mod rooms;
mod server;
mod vtl;
