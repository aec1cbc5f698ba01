//! Any text is a template or an error with a place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::language::vtl::Template;

fuzz_target!(|text: &str| {
    if let Err(error) = Template::parse(text) {
        assert!(error.line >= 1 && error.column >= 1);
    }
});
