//! `x-amazon-apigateway-cors`: what an HTTP API answers browsers by itself.

use super::super::values;
use super::Reader;
use crate::model::{Cors, Spanned};
use crate::source::{Diagnostic, Node, Severity};

const KEYS: [&str; 6] = [
    "allowOrigins",
    "allowMethods",
    "allowHeaders",
    "exposeHeaders",
    "maxAge",
    "allowCredentials",
];

impl Reader<'_, '_> {
    pub(super) fn read_cors(&mut self, node: &Node) -> Option<Spanned<Cors>> {
        let fields = values::mapping(node, "`x-amazon-apigateway-cors`", self.findings)?;
        let mut cors = Cors::default();
        for (key, (span, value)) in fields {
            if value.is_null() {
                continue;
            }
            let what = format!("`{key}`");
            let list = |findings: &mut _| {
                values::texts(value, &what, findings)
                    .into_iter()
                    .map(|text| text.value)
                    .collect()
            };
            match key.as_str() {
                "allowOrigins" => cors.allow_origins = list(self.findings),
                "allowMethods" => cors.allow_methods = list(self.findings),
                "allowHeaders" => cors.allow_headers = list(self.findings),
                "exposeHeaders" => cors.expose_headers = list(self.findings),
                "maxAge" => {
                    // CreateApi, "Cors": -1 to 86400.
                    cors.max_age = values::integer(value, &what, -1, 86_400, self.findings);
                }
                "allowCredentials" => {
                    cors.allow_credentials =
                        values::flag(value, &what, self.findings).unwrap_or(false);
                }
                key => self.findings.push(values::unknown_key(
                    key,
                    *span,
                    &KEYS,
                    "`x-amazon-apigateway-cors`",
                    Severity::Warning,
                )),
            }
        }
        for origin in &cors.allow_origins {
            let wild = matches!(origin.as_str(), "*" | "http://*" | "https://*");
            if !wild && (origin.contains('*') || !origin.contains("://")) {
                self.findings.push(
                    Diagnostic::error(
                        "E0721",
                        format!("`{origin}` is no origin: `https://example.com`, `https://*`, `http://*` or `*`"),
                    )
                    .at(node.span),
                );
            }
        }
        let lists = [
            ("allowOrigins", &cors.allow_origins),
            ("allowMethods", &cors.allow_methods),
            ("allowHeaders", &cors.allow_headers),
            ("exposeHeaders", &cors.expose_headers),
        ];
        if cors.allow_credentials {
            for (name, list) in lists {
                if list.iter().any(|item| item == "*") {
                    self.findings.push(
                        Diagnostic::error(
                            "E0722",
                            format!("`allowCredentials` cannot stand with `*` in `{name}`"),
                        )
                        .at(fields.get(name).map_or(node.span, |(_, node)| node.span))
                        .help("browsers refuse it, and so does AWS: list the values"),
                    );
                }
            }
        }
        Some(Spanned {
            value: cors,
            span: node.span,
        })
    }
}
