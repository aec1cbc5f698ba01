//! Integration tests, one module for each room.

mod local_functions;
