//! What the stacks of one load have from each other by name: exported values, and
//! layers by their ARN.
//!
//! At AWS a value is exported by one deployment and imported by a later one. Here all
//! stacks are read at once, in an order that imports do not decide: where one was
//! asked for before it was told, everything is read again with what is known by then.
//!
//! Source: CloudFormation user guide, "Get exported outputs from a deployed
//! CloudFormation stack".

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use indexmap::IndexMap;

use super::{Stack, cfn_function};
use crate::source::{Diagnostic, Sources, Span};

/// Most readings: the longest chain of stacks that import what the next exports.
const MOST_READINGS: usize = 16;

/// A value, or why it has none here.
type Told = Result<String, Box<Diagnostic>>;

/// What is known by name, whichever stack it is of.
#[derive(Debug, Default)]
pub(super) struct Across {
    exports: RefCell<IndexMap<String, Export>>,
    /// By ARN: whose it is, and its folder or zip file; none where two stacks have one ARN.
    layers: RefCell<HashMap<String, (String, Option<PathBuf>)>>,
    /// Names that were asked for and had no value then.
    missed: RefCell<HashSet<String>>,
    readings: Cell<usize>,
}

#[derive(Debug)]
struct Export {
    /// The output, behind the path of its stack.
    owner: String,
    value: Told,
}

impl Across {
    /// What a stack exports under `name`; `None` where no stack of this load does.
    pub(super) fn import(&self, name: &str) -> Option<Told> {
        let told = self.exports.borrow().get(name).map(|one| one.value.clone());
        if !matches!(told, Some(Ok(_))) {
            self.missed.borrow_mut().insert(name.to_owned());
        }
        told
    }

    /// Exports an output of `stack`.
    pub(super) fn export(
        &self,
        stack: &Stack<'_>,
        output: &str,
        name: String,
        span: Span,
        value: Told,
    ) {
        let owner = stack.path_of(output);
        let mut exports = self.exports.borrow_mut();
        if let Some(other) = exports.get(&name).filter(|other| other.owner != owner) {
            let message = format!(
                "the export `{name}` of the output `{owner}` is that of `{}` already",
                other.owner
            );
            return stack.say(Diagnostic::error("E1033", message).at(span));
        }
        exports.insert(name, Export { owner, value });
    }

    /// Notes the layers of `stack` whose content is here.
    pub(super) fn add_layers(&self, stack: &Stack<'_>, sources: &Sources, span: Span) {
        let mut layers = self.layers.borrow_mut();
        for (id, arn, content) in cfn_function::layers(stack, sources, span) {
            let owner = stack.path_of(&id);
            let known = layers
                .entry(arn)
                .or_insert_with(|| (owner.clone(), Some(content)));
            if known.0 != owner {
                known.1 = None;
            }
        }
    }

    /// The folder or zip file of the layer of that ARN.
    pub(super) fn layer(&self, arn: &str) -> Option<PathBuf> {
        let layers = self.layers.borrow();
        layers.get(arn).and_then(|(_, content)| content.clone())
    }

    /// Whether a reading would tell more than the one that has ended.
    pub(super) fn wants_another_reading(&self) -> bool {
        self.readings.set(self.readings.get() + 1);
        let exports = self.exports.borrow();
        let is_known = |name: &String| exports.get(name).is_some_and(|one| one.value.is_ok());
        let missed = self.missed.take();
        self.readings.get() < MOST_READINGS && missed.iter().any(is_known)
    }
}
