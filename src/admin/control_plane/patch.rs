//! `patchOperations`, as every Update call of API Gateway takes them.

use serde_json::Value as Json;

use super::Call;
use super::answer::Refused;

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) op: Op,
    /// Decoded segments: `/throttle/rateLimit`.
    pub(super) path: Vec<String>,
    pub(super) value: Option<String>,
}

/// What API Gateway's resources here take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Remove,
    Replace,
}

/// The operations of a call's body.
pub(super) fn operations(call: &Call) -> Result<Vec<Operation>, Refused> {
    let object = call.object()?;
    let operations = object
        .get("patchOperations")
        .and_then(Json::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    operations.iter().map(operation).collect()
}

fn operation(operation: &Json) -> Result<Operation, Refused> {
    let text = |key: &str| operation.get(key).and_then(Json::as_str);
    let op = match text("op").unwrap_or_default() {
        "add" => Op::Add,
        "remove" => Op::Remove,
        "replace" => Op::Replace,
        other => {
            return Err(Refused::bad(format!(
                "Invalid patch operation specified. Must be one of: [add, remove, replace], found '{other}'"
            )));
        }
    };
    let path = text("path")
        .and_then(|path| path.strip_prefix('/'))
        .ok_or_else(|| Refused::bad("Invalid patch path: a path begins with '/'"))?;
    Ok(Operation {
        op,
        // JSON Pointer: RFC 6901, 4.
        path: path
            .split('/')
            .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
            .collect(),
        value: text("value").map(str::to_owned),
    })
}

impl Operation {
    /// The value, which this operation must have.
    pub(super) fn value(&self) -> Result<&str, Refused> {
        self.value
            .as_deref()
            .ok_or_else(|| Refused::bad(format!("{} needs a value", self.name())))
    }

    /// The value, read.
    pub(super) fn parsed<T: std::str::FromStr>(&self) -> Result<T, Refused> {
        let value = self.value()?;
        value
            .parse()
            .map_err(|_| Refused::bad(format!("Invalid value '{value}' for {}", self.name())))
    }

    /// The refusal of a path that cannot be patched so.
    pub(super) fn invalid(&self, known: &str) -> Refused {
        Refused::bad(format!(
            "Invalid patch path '{}' specified for op '{}'. Must be one of: [{known}]",
            self.name(),
            match self.op {
                Op::Add => "add",
                Op::Remove => "remove",
                Op::Replace => "replace",
            }
        ))
    }

    fn name(&self) -> String {
        format!("/{}", self.path.join("/"))
    }
}
