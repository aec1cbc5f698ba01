//! `local:static/FOLDER`: the files of a folder.

use std::path::{Component, Path, PathBuf};

use axum::response::{IntoResponse, Response as AxumResponse};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;

use super::{Handler, HandlerContext, HandlerFuture};
use crate::base::Body;

/// Serves files below a folder.
///
/// The file is named by the route's greedy variable, or by the last segment of
/// the path where there is none; a folder means its `index.html`. What leads out of the
/// folder, by `..` or by a link, is not found.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Serves what is below `root`, which must be canonical.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    async fn answer(self, request: Request<Bytes>) -> AxumResponse {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]).into_response();
        }
        let context = request
            .extensions()
            .get::<HandlerContext>()
            .cloned()
            .unwrap_or_default();
        let named = context
            .path_parameters
            .values()
            .next_back()
            .map(String::as_str);
        let wanted =
            named.unwrap_or_else(|| request.uri().path().rsplit('/').next().unwrap_or_default());
        let root = self.root.clone();
        let wanted = wanted.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let file = find(&root, &wanted)?;
            let content = std::fs::read(&file).ok()?;
            Some((content_type(&file), content))
        });
        match read.await {
            Ok(Some((content_type, content))) => {
                ([(CONTENT_TYPE, content_type)], content).into_response()
            }
            _ => {
                let body = r#"{"message":"Not Found"}"#;
                (
                    StatusCode::NOT_FOUND,
                    [(CONTENT_TYPE, "application/json")],
                    body,
                )
                    .into_response()
            }
        }
    }
}

impl Handler for Directory {
    fn call(&self, request: Request<Bytes>) -> HandlerFuture {
        let answer = self.clone().answer(request);
        Box::pin(async move {
            use http_body_util::BodyExt;

            answer
                .await
                .map(|body| Body::stream(body.map_err(Into::into)))
        })
    }
}

/// The file that a path (as sent) names, if it is below `root`.
fn find(root: &Path, wanted: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(wanted).decode_utf8().ok()?;
    if decoded.contains(['\0', '\\']) {
        return None;
    }
    let relative = Path::new(decoded.trim_start_matches('/'));
    if !relative
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return None;
    }
    let mut file = root.join(relative).canonicalize().ok()?;
    if file.is_dir() {
        file = file.join("index.html").canonicalize().ok()?;
    }
    (file.starts_with(root) && file.is_file()).then_some(file)
}

/// The media type by a file's ending.
fn content_type(file: &Path) -> &'static str {
    let ending = file
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    match ending.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_below_the_root_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("site");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("a b.txt"), "x").unwrap();
        std::fs::write(root.join("sub/index.html"), "x").unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path().join("secret"), root.join("link")).unwrap();

        assert!(find(&root, "a%20b.txt").is_some());
        assert!(find(&root, "sub").is_some_and(|file| file.ends_with("index.html")));
        for wanted in [
            "../secret",
            "%2e%2e/secret",
            "sub/../../secret",
            "link",
            "/etc/passwd",
            "a\\b",
            "none",
            "%00",
        ] {
            assert_eq!(find(&root, wanted), None, "{wanted}");
        }
    }
}
