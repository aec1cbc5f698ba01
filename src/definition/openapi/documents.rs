//! The document and the files beside it that its `$ref`s name.

use std::path::{Path, PathBuf};

use crate::source::{Diagnostic, Diagnostics, FileId, Node, Sources, Value};

/// Longest chain of `$ref`s that is followed; a longer one is a circle.
const LONGEST_CHAIN: usize = 32;

/// Every file that the document is made of, the document itself first.
pub(super) struct Documents {
    files: Vec<(FileId, PathBuf, Node)>,
    /// Files that could not be read, which was said when they were looked for.
    missing: Vec<PathBuf>,
}

impl Documents {
    /// Reads the files that `root` and those files name, each once.
    pub(super) fn gather(
        root: Node,
        sources: &mut Sources,
        prepare: &dyn Fn(&Sources, &mut Node),
        findings: &mut Diagnostics,
    ) -> Self {
        let file = root.span.file;
        let mut documents = Self {
            files: vec![(file, sources.path(file).to_owned(), root)],
            missing: Vec::new(),
        };
        prepare(sources, &mut documents.files[0].2);
        let mut next = 0;
        while let Some((_, path, node)) = documents.files.get(next) {
            let mut wanted = Vec::new();
            // Looking once through the text is cheaper than through every node.
            let text = sources.text(node.span.file).as_bytes();
            if memchr::memmem::find(text, b"$ref").is_some() {
                outside(node, &mut wanted);
            }
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            next += 1;
            for (target, span) in wanted {
                let path = folder.join(&target);
                if documents.files.iter().any(|(_, known, _)| *known == path)
                    || documents.missing.contains(&path)
                {
                    continue;
                }
                let file = match sources.add_path(&path) {
                    Ok(file) => file,
                    Err(problem) => {
                        findings.push(
                            Diagnostic::error(
                                "E0211",
                                format!("this `$ref` names a file that {}", reason(&problem)),
                            )
                            .at(span)
                            .help("paths are taken from the folder of the file they stand in"),
                        );
                        documents.missing.push(path);
                        continue;
                    }
                };
                if documents.files.len() + documents.missing.len() == 1 {
                    findings.push(
                        Diagnostic::note(
                            "N0211",
                            "AWS does not follow a `$ref` to another file: bundle the files before the import",
                        )
                        .at(span),
                    );
                }
                match sources.load(file, findings) {
                    Some(mut node) => {
                        prepare(sources, &mut node);
                        documents.files.push((file, path, node));
                    }
                    None => documents.missing.push(path),
                }
            }
        }
        documents
    }

    /// The document itself.
    pub(super) fn root(&self) -> &Node {
        &self.files[0].2
    }

    /// The node, or what its `$ref` leads to.
    ///
    /// `None` where the target is missing or the way a circle, which is then among the findings.
    pub(super) fn follow<'a>(
        &'a self,
        node: &'a Node,
        findings: &mut Diagnostics,
    ) -> Option<&'a Node> {
        let mut node = node;
        for _ in 0..LONGEST_CHAIN {
            let Some(reference) = node.get("$ref") else {
                return Some(node);
            };
            let Some(text) = reference.as_str() else {
                findings.push(super::super::values::wrong_type(
                    reference, "`$ref`", "text",
                ));
                return None;
            };
            match self.find(text, reference.span.file) {
                Ok(target) => node = target,
                Err(problem) => {
                    // A file that could not be read was named when it was looked for.
                    if let Some(problem) = problem {
                        findings.push(
                            Diagnostic::error("E0212", problem).at(reference.span).help(
                                "a `$ref` is `#/components/…`, or `FILE#/…` with a file beside this one",
                            ),
                        );
                    }
                    return None;
                }
            }
        }
        findings.push(Diagnostic::error("E0213", "this `$ref` leads back to itself").at(node.span));
        None
    }

    /// What `reference`, standing in `file`, points to.
    pub(super) fn find(&self, reference: &str, file: FileId) -> Result<&Node, Option<String>> {
        let (path, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        if path.contains("://") {
            return Err(Some(format!(
                "`{reference}` is an address, and definitions are not fetched"
            )));
        }
        let beside = self
            .files
            .iter()
            .find(|(id, _, _)| *id == file)
            .and_then(|(_, path, _)| path.parent())
            .unwrap_or(Path::new(""))
            .join(path);
        let document = self.files.iter().find(|(id, known, _)| {
            if path.is_empty() {
                *id == file
            } else {
                *known == beside
            }
        });
        let Some((_, _, mut node)) = document.map(|(id, path, node)| (id, path, node)) else {
            let said = self.missing.contains(&beside);
            return Err((!said).then(|| format!("the file of `{reference}` was not read")));
        };
        let Some(pointer) = pointer.strip_prefix('/') else {
            return if pointer.is_empty() {
                Ok(node)
            } else {
                Err(Some(format!(
                    "`{reference}` is no path: `#` wants `/` behind it"
                )))
            };
        };
        for part in pointer.split('/') {
            let decoded = percent_encoding::percent_decode_str(part).decode_utf8_lossy();
            let part = decoded.replace("~1", "/").replace("~0", "~");
            let inner = match &node.value {
                Value::Sequence(items) => part.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => node.get(&part),
            };
            node = inner.ok_or_else(|| {
                let near = node
                    .as_mapping()
                    .and_then(|keys| crate::source::nearest(&part, keys.keys().map(String::as_str)))
                    .map_or_else(String::new, |near| format!(", but `{near}` is"));
                Some(format!(
                    "`{reference}` leads nowhere: `{part}` is not there{near}"
                ))
            })?;
        }
        Ok(node)
    }
}

fn reason(problem: &Diagnostic) -> String {
    let text = problem.message.as_str();
    let what = text.split_once(": ").map_or(text, |(_, what)| what);
    format!("cannot be read: {what}")
}

/// Files that `$ref`s of this tree name, with their places.
fn outside(node: &Node, wanted: &mut Vec<(String, crate::source::Span)>) {
    match &node.value {
        Value::Scalar { .. } => {}
        Value::Sequence(items) => items.iter().for_each(|item| outside(item, wanted)),
        Value::Mapping(mapping) => {
            for (key, (_, value)) in mapping {
                if key == "$ref" {
                    if let Some(text) = value.as_str() {
                        let path = text.split('#').next().unwrap_or_default();
                        if !path.is_empty() && !path.contains("://") {
                            wanted.push((path.to_owned(), value.span));
                        }
                    }
                } else {
                    outside(value, wanted);
                }
            }
        }
    }
}
