//! A template and a body, with a zero byte between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::language::vtl::{Inputs, Overrides, Template};

fuzz_target!(|text: &str| {
    let (template, body) = text.split_once('\0').unwrap_or((text, ""));
    let Ok(template) = Template::parse(template) else {
        return;
    };
    let variables = serde_json::json!({
        "name": "Ada", "n": 7, "d": 2.5, "t": true, "f": false, "nil": null, "s": "Hello World",
        "l": ["p", "q", "r"], "m": {"a": "x", "b": {"c": "deep"}}, "long": 9_000_000_000_i64,
    });
    let context = serde_json::json!({"stage": "prod", "identity": {"sourceIp": "192.0.2.1"}});
    let (Some(variables), Some(context)) = (variables.as_object(), context.as_object()) else {
        return;
    };
    let parameters = vec![("id", "42"), ("q", "a b")];
    let inputs = Inputs {
        body: Some(body),
        path: &parameters,
        query_string: &parameters,
        header: &parameters,
        stage_variables: &parameters,
        context,
        variables: Some(variables),
    };
    let mut overrides = Overrides::default();
    drop(template.render(&inputs, &mut overrides));
    drop(overrides.to_json());
});
