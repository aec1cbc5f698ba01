//! SAM and CloudFormation templates: the APIs and functions that a stack would have.
//!
//! [`read`] goes the way of a deployment: included files first, then loops, then
//! the SAM transform, which makes plain resources, then conditions and intrinsic
//! functions of what is left. Plain resources become an OpenAPI document for each
//! API, which the reader of such documents turns into the model: so a method means
//! the same wherever it was written.
//!
//! Rules are those of the AWS SAM developer guide, the CloudFormation user guide,
//! and the translator that AWS runs for the transform.

mod across;
mod attributes;
mod cfn_function;
mod cfn_rest;
mod cfn_v2;
mod conditions;
mod document;
mod domain_names;
mod environment_file;
mod for_each;
mod globals;
mod include;
mod intrinsics;
mod nested;
mod parameters;
mod resources;
mod sam;
mod sam_api;
mod sam_auth;
mod sam_cors;
mod sam_function;
mod sam_http_api;
mod sam_policy;
mod sam_properties;
mod sam_usage_plan;
mod sam_web_socket;
mod stages;
mod tree;
mod usage_plan;
mod websocket;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use indexmap::IndexMap;

use self::across::Across;
use self::nested::{Outputs, Place, Reading};
use self::parameters::{Parameters, Pseudo};
use crate::model::Api;
use crate::model::settings::{
    ApiKeySettings, DomainSettings, FunctionSettings, Settings, UsagePlanSettings,
};
use crate::source::{Diagnostic, Diagnostics, Node, Sources, Span};

pub use self::environment_file::EnvironmentFile;
pub use self::parameters::read_overrides;
pub use self::websocket::{WebSocketApi, WebSocketAuthorizer, WebSocketRoute};

/// Most nodes that a template's functions may make.
const BUDGET: usize = 2_000_000;

/// What is decided outside of the template.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Values of parameters, and of exports of other stacks, by name.
    pub parameters: IndexMap<String, String>,
    /// The logical id of the API that answers at the bare address.
    pub api: Option<String>,
    /// The stage of it that does.
    pub stage: Option<String>,
    /// Variables of functions, in place of what the template says.
    pub environment: Option<EnvironmentFile>,
}

/// What a template says.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// REST and HTTP APIs, the one for the bare address first; one with several stages
    /// is there once for each.
    pub apis: Vec<Api>,
    /// WebSocket APIs, which are listed and not served.
    pub websocket_apis: Vec<WebSocketApi>,
    /// Functions by name.
    pub functions: IndexMap<String, FunctionSettings>,
    /// By function name: its logical id, behind the path of its stack.
    pub function_ids: IndexMap<String, String>,
    /// Code that stands in the template, to be written before it runs.
    pub inline_code: Vec<InlineCode>,
    /// Names of API keys whose value is made up here.
    pub made_up_keys: Vec<String>,
    /// API keys.
    pub api_keys: Vec<ApiKeySettings>,
    /// Usage plans.
    pub usage_plans: Vec<UsagePlanSettings>,
    /// Custom domain names.
    pub domains: Vec<DomainSettings>,
    /// Lines for people on what was taken without being asked for.
    pub notes: Vec<String>,
}

/// A function's code that stands in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineCode {
    /// The file that it belongs into, absolute.
    pub path: PathBuf,
    /// The code.
    pub text: String,
}

/// Whether a document is a template: it has `Resources`.
pub fn is_template(root: &Node) -> bool {
    root.get("Resources").is_some()
        && root.get("openapi").is_none()
        && root.get("swagger").is_none()
}

/// Reads a template, with those of its nested stacks. What is wrong with it is among
/// the findings, and left out.
pub fn read(
    sources: &mut Sources,
    root: Node,
    options: &Options,
    settings: &Settings,
    findings: &mut Diagnostics,
) -> Template {
    let across = Across::default();
    let (mut template, mut reading) = loop {
        let mut reading = Reading::new(sources, &root, options, settings, &across);
        let place = Place {
            path: String::new(),
            parameters: options.parameters.clone(),
        };
        let (template, _) = read_stack(&mut reading, root.clone(), place);
        if !across.wants_another_reading() {
            break (template, reading);
        }
    };
    resources::put_chosen_first(&mut reading, &mut template);
    let mut known: Vec<Diagnostic> = Vec::new();
    for finding in reading.findings {
        // A node that is looked at twice is said once.
        let twice = known.iter().any(|other| {
            other.code == finding.code
                && other.span == finding.span
                && other.message == finding.message
        });
        if !twice {
            known.push(finding);
        }
    }
    findings.extend(known);
    template
}

/// Reads one stack, and those within it before what may need their outputs.
fn read_stack(reading: &mut Reading<'_>, mut root: Node, place: Place) -> (Template, Outputs) {
    let nothing = (Template::default(), Outputs::new());
    if let Err(problem) = tree::normalize(&mut root) {
        reading.findings.push(*problem);
        return nothing;
    }
    let (options, settings) = (reading.options, reading.settings);
    let mut found = Diagnostics::default();
    let parameters = Parameters::read(root.get("Parameters"), &place.parameters, &mut found);
    let mut stack = Stack {
        pseudo: Pseudo {
            region: settings.region.clone(),
            account_id: settings.account_id.clone(),
            path: place.path,
        },
        parameters,
        mappings: root.get("Mappings").cloned(),
        conditions: IndexMap::new(),
        resources: IndexMap::new(),
        generated: HashMap::new(),
        outputs: HashMap::new(),
        settings,
        given: &options.parameters,
        environment: options.environment.as_ref(),
        imported: RefCell::default(),
        across: reading.across,
        first_api: None,
        findings: RefCell::new(found),
        budget: Cell::new(BUDGET),
        decided: RefCell::default(),
        naming: RefCell::default(),
        index: RefCell::default(),
    };
    include::expand(&mut root, &stack, reading.sources);
    for_each::expand(&mut root, &stack);
    if let Err(problem) = tree::normalize(&mut root) {
        reading.findings.extend(stack.findings.into_inner());
        reading.findings.push(*problem);
        return nothing;
    }
    stack.mappings = root.get("Mappings").cloned();
    stack.conditions = section(&root, "Conditions");
    stack.resources = resources::read(&root, &stack);
    if transforms(&root).any(|name| name == "AWS::Serverless-2016-10-31") {
        sam::transform(&mut stack, tree::get(&root, "Globals"));
    } else {
        resources::refuse_sam(&stack);
    }
    resources::choose_first(&mut stack, reading);
    reading
        .across
        .add_layers(&stack, reading.sources, root.span);
    let mut inner = nested::read(&mut stack, reading);
    let mut template = Template::default();
    nested::join_functions(&stack, &mut template, &mut inner);
    resources::report(&stack);
    cfn_function::read(&stack, reading.sources, root.span, &mut template);
    cfn_rest::read(&stack, reading.sources, &mut template);
    cfn_v2::read(&stack, reading.sources, &mut template);
    websocket::read(&stack, &mut template);
    usage_plan::read(&stack, &mut template);
    domain_names::read(&stack, &mut template);
    resources::order(&stack, options, &mut template);
    nested::join(&mut template, inner);
    let outputs = nested::outputs(&stack, &root);
    reading.imported.extend(stack.imported.take());
    if stack.pseudo.path.is_empty() {
        resources::report_vain_values(&stack, root.get("Parameters"), &reading.imported);
    }
    reading.findings.extend(stack.findings.into_inner());
    (template, outputs)
}

/// A template with the values of its parameters, while it is read.
pub(super) struct Stack<'s> {
    pseudo: Pseudo,
    parameters: Parameters,
    mappings: Option<Node>,
    conditions: IndexMap<String, Node>,
    resources: IndexMap<String, Resource>,
    /// `Api.Stage` to the logical id of what SAM makes.
    generated: HashMap<String, String>,
    /// Of nested stacks, by their logical ids; those that were read.
    outputs: HashMap<String, Outputs>,
    settings: &'s Settings,
    /// Values that were given by name.
    given: &'s IndexMap<String, String>,
    environment: Option<&'s EnvironmentFile>,
    /// Exports of other stacks that were asked for.
    imported: RefCell<HashSet<String>>,
    /// What all stacks of this load tell by name.
    across: &'s Across,
    /// The API whose id may be configured.
    first_api: Option<String>,
    findings: RefCell<Diagnostics>,
    /// What functions may still make.
    budget: Cell<usize>,
    /// Conditions that were told; `None` while one is being told.
    decided: RefCell<IndexMap<String, Option<bool>>>,
    /// Resources whose name is being told.
    naming: RefCell<Vec<String>>,
    /// By type and `Ref`: the logical id; made once the resources are plain.
    index: RefCell<Option<HashMap<(String, String), String>>>,
}

impl Stack<'_> {
    fn say(&self, finding: Diagnostic) {
        self.findings.borrow_mut().push(finding);
    }
}

/// A resource of a template.
#[derive(Clone, Debug)]
struct Resource {
    kind: String,
    properties: Node,
    condition: Option<String>,
    metadata: Option<Node>,
    ignore_globals: Option<Node>,
    /// The place of its logical id.
    span: Span,
}

fn section(root: &Node, name: &str) -> IndexMap<String, Node> {
    root.get(name)
        .into_iter()
        .flat_map(Node::entries)
        .map(|(name, _, node)| (name.to_owned(), node.clone()))
        .collect()
}

fn transforms(root: &Node) -> impl Iterator<Item = &str> {
    let node = root.get("Transform");
    let one = node.and_then(Node::as_str);
    let several = node.and_then(Node::as_sequence).unwrap_or_default();
    one.into_iter()
        .chain(several.iter().filter_map(Node::as_str))
}

#[cfg(test)]
mod tests;
