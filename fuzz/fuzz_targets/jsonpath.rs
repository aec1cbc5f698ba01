//! A path and a document, with a line end between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::language::jsonpath::Path;

fuzz_target!(|text: &str| {
    let (path, document) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(path) = Path::compile(path) else {
        return;
    };
    let document = serde_json::from_str(document).unwrap_or_else(|_| {
        serde_json::json!({"a": [1, {"a": "x", "b": [true, null]}, [2.5]], "b": {"c": {"d": "e"}}})
    });
    drop(path.read(&document));
});
