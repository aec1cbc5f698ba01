//! What fuzzing feeds: each function takes what a stranger may send or write and
//! must come back, whatever it is. The targets in `fuzz/` call these, and the test
//! below calls them with everything that fuzzing has kept.

use bytes::BytesMut;
use tollgate::definition::openapi as definition;
use tollgate::http_client::decoder::{Decoded, Decoder};
use tollgate::http_client::head::{Kept, read_head};
use tollgate::language::jsonpath::Path;
use tollgate::language::vtl::{Inputs, Overrides, Template};
use tollgate::model::settings::Settings;
use tollgate::server::head::HeadReader;
use tollgate::server::{Extras, assemble};
use tollgate::source::{Diagnostics, Sources};

/// Any text is a template, or an error with a place.
pub(crate) fn vtl_parse(text: &str) {
    if let Err(error) = Template::parse(text) {
        assert!(error.line >= 1 && error.column >= 1);
    }
}

/// A template and a body, with a zero byte between them.
pub(crate) fn vtl_render(text: &str) {
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
}

/// A path and a document, with a line end between them.
pub(crate) fn jsonpath(text: &str) {
    let (path, document) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(path) = Path::compile(path) else {
        return;
    };
    let document = serde_json::from_str(document).unwrap_or_else(|_| {
        serde_json::json!({"a": [1, {"a": "x", "b": [true, null]}, [2.5]], "b": {"c": {"d": "e"}}})
    });
    drop(path.read(&document));
}

/// A definition: reading and compiling end with an API or with findings.
pub(crate) fn openapi(text: &str) {
    let mut sources = Sources::new();
    let mut findings = Diagnostics::default();
    let settings = Settings::default();
    let file = sources.add_text("openapi.yaml", text);
    if let Some(api) = definition::read(&mut sources, file, &settings, &mut findings) {
        let extras = Extras::default();
        drop(assemble(&[api], &settings, extras, &mut findings));
    }
    findings.sort();
    findings.draw(&sources, false);
}

/// HTTP/1 heads: it does not matter how their bytes are split. The first byte says how.
pub(crate) fn request_head(input: &[u8]) {
    if let Some((step, bytes)) = input.split_first() {
        let step = usize::from(*step).max(1);
        assert_eq!(heads([bytes]), heads(bytes.chunks(step)));
    }
}

/// What a reader makes of bytes that come in these pieces.
fn heads<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut reader = HeadReader::default();
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match reader.read(&mut buffer) {
                Ok(Some(head)) => found.push(format!("{head:?}")),
                Ok(None) => break,
                Err(refused) => {
                    found.push(format!("{refused:?}"));
                    return found;
                }
            }
        }
    }
    found
}

/// A backend's answer: it does not matter how its bytes are split. The first byte says how.
pub(crate) fn answer(input: &[u8]) {
    if let Some((step, bytes)) = input.split_first() {
        let step = usize::from(*step).max(1);
        assert_eq!(answered([bytes]), answered(bytes.chunks(step)));
    }
}

/// What the client makes of an answer that comes in these pieces: its head, its
/// body, and how it ended.
fn answered<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Option<String>, Vec<u8>, String) {
    let (mut head, mut body, mut decoder) = (None, Vec::new(), None::<Decoder>);
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if decoder.is_none() {
            match read_head(&mut buffer, &http::Method::GET, Kept::EndToEnd) {
                Ok(Some(read)) => {
                    decoder = Some(Decoder::new(read.framing));
                    head = Some(format!("{read:?}"));
                }
                Ok(None) => {}
                Err(error) => return (head, body, error.to_string()),
            }
        }
        while let Some(decoder) = &mut decoder {
            match decoder.decode(&mut buffer) {
                Ok(Decoded::Data(data)) => body.extend_from_slice(&data),
                Ok(Decoded::Trailers(trailers)) => body.extend(format!("{trailers:?}").bytes()),
                Ok(Decoded::More) => break,
                Ok(Decoded::End) => return (head, body, "complete".to_owned()),
                Err(error) => return (head, body, error.to_string()),
            }
        }
    }
    let complete = decoder.is_some_and(|mut decoder| decoder.at_close());
    (head, body, format!("closed, {complete}"))
}

#[test]
fn everything_that_fuzzing_has_kept_has_an_answer() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files = 0;
    let mut replay = |target: &str, run: &dyn Fn(&[u8])| {
        for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
            run(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
    };
    let text = |run: fn(&str)| move |bytes: &[u8]| run(&String::from_utf8_lossy(bytes));

    replay("vtl_parse", &text(vtl_parse));
    replay("vtl_render", &text(vtl_render));
    replay("jsonpath", &text(jsonpath));
    replay("openapi", &text(openapi));
    replay("request_head", &request_head);
    replay("answer", &answer);

    assert!(files > 100, "only {files} files were found");
}
