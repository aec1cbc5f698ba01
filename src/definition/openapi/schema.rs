//! Models: JSON schemas of `definitions` and `components.schemas`.

use serde_json::Value as Json;

use super::super::values::{self, get};
use super::{Reader, Version};
use crate::model::Api;
use crate::source::{Diagnostic, FileId, Node, Value};

impl<'a> Reader<'a, '_> {
    pub(super) fn read_models(&mut self, api: &mut Api) {
        let node = match self.version {
            Version::Two => get(self.root, "definitions"),
            Version::Three => get(self.root, "components").and_then(|node| node.get("schemas")),
        };
        let Some(node) = node.filter(|node| !node.is_null()) else {
            return;
        };
        for (name, (span, schema)) in values::mapping(node, "the schemas", self.findings)
            .into_iter()
            .flatten()
        {
            if self.is_rest() && !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                self.warn(
                    "W0711",
                    *span,
                    format!("AWS takes letters and digits in a model's name, and this is `{name}`"),
                );
            }
            let value = self.schema(schema);
            api.models.insert(name.clone(), value);
        }
    }

    /// A schema as JSON. A `$ref` within the document stays; one that leads to
    /// another file is replaced by what stands there.
    pub(super) fn schema(&mut self, node: &'a Node) -> Json {
        let home = self.documents.root().span.file;
        self.own_definitions = node.get("definitions");
        self.schema_within(node, home, &mut Vec::new())
    }

    fn schema_within(&mut self, node: &'a Node, home: FileId, open: &mut Vec<*const Node>) -> Json {
        match &node.value {
            Value::Scalar { .. } => node.to_json(),
            Value::Sequence(items) => items
                .iter()
                .map(|item| self.schema_within(item, home, open))
                .collect(),
            Value::Mapping(mapping) => {
                if let Some(reference) = mapping.get("$ref").and_then(|(_, node)| node.as_str())
                    && let Some(json) = self.reference(node, reference, home, open)
                {
                    return json;
                }
                Json::Object(
                    mapping
                        .iter()
                        .map(|(key, (_, value))| {
                            (key.clone(), self.schema_within(value, home, open))
                        })
                        .collect(),
                )
            }
        }
    }

    /// Whether AWS finds a model by `#/definitions/NAME` where the document has
    /// none of that address: among the schema's own definitions, the components
    /// of OpenAPI 3, or the two models that every REST API has.
    fn is_known_model(&self, reference: &str) -> bool {
        let Some(name) = reference.strip_prefix("#/definitions/") else {
            return false;
        };
        let name = name.split('/').next().unwrap_or_default();
        let components = get(self.root, "components").and_then(|node| node.get("schemas"));
        [self.own_definitions, components]
            .into_iter()
            .flatten()
            .any(|models| models.get(name).is_some())
            || self.is_rest() && ["Empty", "Error"].contains(&name)
    }

    /// What a `$ref` to or in another file stands for; `None` for one that stays as it is.
    fn reference(
        &mut self,
        node: &'a Node,
        reference: &str,
        home: FileId,
        open: &mut Vec<*const Node>,
    ) -> Option<Json> {
        // Models of an API may be named by their address at AWS.
        if reference.contains("://") {
            return None;
        }
        let local = reference.starts_with('#') && node.span.file == home;
        let target = match self.documents.find(reference, node.span.file) {
            Ok(target) => target,
            Err(_) if self.is_known_model(reference) => return None,
            Err(problem) => {
                if let Some(problem) = problem {
                    self.findings
                        .push(Diagnostic::error("E0212", problem).at(node.span));
                }
                return Some(Json::Object(serde_json::Map::new()));
            }
        };
        if local {
            return None;
        }
        if target.span.file == home {
            // Back from another file: the same place by the document's own name.
            let pointer = reference.split_once('#').map_or("", |(_, pointer)| pointer);
            return Some(serde_json::json!({ "$ref": format!("#{pointer}") }));
        }
        if open.contains(&std::ptr::from_ref(target)) {
            self.findings.push(
                Diagnostic::error("E0213", "schemas in other files may not contain themselves")
                    .at(node.span)
                    .help("move the schema into the document"),
            );
            return Some(Json::Object(serde_json::Map::new()));
        }
        if open.len() > 64 {
            return Some(Json::Object(serde_json::Map::new()));
        }
        open.push(std::ptr::from_ref(target));
        let json = self.schema_within(target, home, open);
        open.pop();
        Some(json)
    }
}
