//! Parameters: what a template asks of who deploys it, and the pseudo parameters.
//!
//! Source: CloudFormation user guide, "CloudFormation template Parameters syntax"
//! and "Get AWS values using pseudo parameters".

use indexmap::IndexMap;

use super::tree::{self, get};
use crate::source::{Diagnostic, Diagnostics, Node, Span};

/// What a parameter has, or why it has nothing.
#[derive(Clone, Debug)]
pub(super) enum ParameterValue {
    /// One text.
    Text(String),
    /// `CommaDelimitedList` and `List<…>`.
    List(Vec<String>),
    /// No value is known; words on what would give one.
    Missing(String),
}

/// The parameters of a template by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters {
    values: IndexMap<String, ParameterValue>,
}

impl Parameters {
    /// Reads the section `Parameters`, with the values that were given.
    pub(super) fn read(
        section: Option<&Node>,
        given: &IndexMap<String, String>,
        findings: &mut Diagnostics,
    ) -> Self {
        let mut values = IndexMap::new();
        for (name, span, declaration) in section.into_iter().flat_map(Node::entries) {
            let value = read_one(name, span, declaration, given.get(name), findings);
            values.insert(name.to_owned(), value);
        }
        Self { values }
    }

    pub(super) fn get(&self, name: &str) -> Option<&ParameterValue> {
        self.values.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

fn read_one(
    name: &str,
    span: Span,
    declaration: &Node,
    given: Option<&String>,
    findings: &mut Diagnostics,
) -> ParameterValue {
    let kind = get(declaration, "Type")
        .and_then(Node::as_str)
        .unwrap_or("String");
    let default = get(declaration, "Default");
    // Default of a parameter of the Parameter Store is a name there, not a value.
    if let (true, None) = (kind.starts_with("AWS::SSM::Parameter::Value"), given) {
        let entry = default.and_then(Node::as_str).unwrap_or("?");
        return ParameterValue::Missing(format!(
            "its value is in the Parameter Store at AWS, under `{entry}`"
        ));
    }
    let written = match (given, default.and_then(scalar)) {
        (Some(given), _) => given.clone(),
        (None, Some(default)) => default,
        (None, None) => return ParameterValue::Missing("it has no default".to_owned()),
    };
    let is_list = kind == "CommaDelimitedList" || kind.contains("List<");
    let items: Vec<String> = if is_list {
        written
            .split(',')
            .map(|item| item.trim().to_owned())
            .collect()
    } else {
        vec![written.clone()]
    };
    for item in &items {
        if let Err(problem) = check(item, kind, declaration) {
            let said = get(declaration, "ConstraintDescription").and_then(Node::as_str);
            let shown = match get(declaration, "NoEcho").and_then(Node::as_bool) {
                Some(true) => "***",
                _ => item.as_str(),
            };
            let mut finding = Diagnostic::error(
                "E1003",
                format!("the parameter `{name}` is `{shown}`, but {problem}"),
            )
            .at(span);
            if let Some(said) = said {
                finding = finding.help(said);
            }
            findings.push(finding);
        }
    }
    if is_list {
        ParameterValue::List(items)
    } else {
        ParameterValue::Text(written)
    }
}

/// The text of a scalar, the empty one included.
fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        crate::source::Value::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// What a value must be by its declaration.
fn check(value: &str, kind: &str, declaration: &Node) -> Result<(), String> {
    if matches!(kind, "Number" | "List<Number>") && value.trim().parse::<f64>().is_err() {
        return Err("must be a number".to_owned());
    }
    let allowed: Vec<String> = get(declaration, "AllowedValues")
        .and_then(Node::as_sequence)
        .unwrap_or_default()
        .iter()
        .filter_map(scalar)
        .collect();
    if !allowed.is_empty() && !allowed.iter().any(|one| one == value) {
        return Err(format!("must be one of `{}`", allowed.join("`, `")));
    }
    if let Some(pattern) = get(declaration, "AllowedPattern").and_then(Node::as_str) {
        let whole = format!("^(?:{pattern})$");
        // A pattern that only Java reads is left to AWS.
        let matches = fancy_regex::Regex::new(&whole)
            .ok()
            .and_then(|pattern| pattern.is_match(value).ok());
        if matches == Some(false) {
            return Err(format!("must match `{pattern}`"));
        }
    }
    let number =
        |key: &str| get(declaration, key).and_then(|node| node.as_str()?.parse::<f64>().ok());
    #[expect(clippy::cast_precision_loss, reason = "lengths of texts are small")]
    let length = value.chars().count() as f64;
    if number("MinLength").is_some_and(|least| length < least) {
        return Err("is too short".to_owned());
    }
    if number("MaxLength").is_some_and(|most| length > most) {
        return Err("is too long".to_owned());
    }
    if let Ok(value) = value.trim().parse::<f64>() {
        if number("MinValue").is_some_and(|least| value < least) {
            return Err("is too small".to_owned());
        }
        if number("MaxValue").is_some_and(|most| value > most) {
            return Err("is too large".to_owned());
        }
    }
    Ok(())
}

/// Account, region and what follows from them.
#[derive(Clone, Debug)]
pub(super) struct Pseudo {
    pub(super) region: String,
    pub(super) account_id: String,
    /// The stack's among nested ones: `Outer/Inner/`.
    pub(super) path: String,
}

/// The outermost stack's name.
const STACK_NAME: &str = "tollgate";

impl Pseudo {
    /// The stack's name, which is the title of implicit APIs too.
    pub(super) fn stack_name(&self) -> String {
        let path = self.path.trim_end_matches('/');
        match path {
            "" => STACK_NAME.to_owned(),
            path => format!("{STACK_NAME}-{}", path.replace('/', "-")),
        }
    }

    /// The id of a stack of that name.
    pub(super) fn stack_id(&self, name: &str) -> String {
        self.arn(
            "cloudformation",
            &format!("stack/{name}/00000000-0000-0000-0000-000000000000"),
        )
    }

    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub(super) fn partition(&self) -> &'static str {
        if self.region.starts_with("cn-") {
            "aws-cn"
        } else if self.region.starts_with("us-gov-") {
            "aws-us-gov"
        } else {
            "aws"
        }
    }

    /// `amazonaws.com`.
    pub(super) fn url_suffix(&self) -> &'static str {
        if self.region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        }
    }

    /// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:{}:{service}:{}:{}:{resource}",
            self.partition(),
            self.region,
            self.account_id
        )
    }

    /// The value of a pseudo parameter, `AWS::NoValue` excepted.
    pub(super) fn get(&self, name: &str, span: Span) -> Option<Node> {
        let value = match name {
            "AWS::Region" => self.region.clone(),
            "AWS::AccountId" => self.account_id.clone(),
            "AWS::Partition" => self.partition().to_owned(),
            "AWS::URLSuffix" => self.url_suffix().to_owned(),
            "AWS::StackName" => self.stack_name(),
            "AWS::StackId" => self.stack_id(&self.stack_name()),
            "AWS::NotificationARNs" => return Some(tree::list(Vec::new(), span)),
            _ => return None,
        };
        Some(tree::text(value, span))
    }
}

/// Reads parameter values as SAM and CloudFormation take them on the command
/// line: `A=1`, `ParameterKey=A,ParameterValue=1`, several in one text with
/// blanks between, values with blanks in quotes.
///
/// # Errors
///
/// The part that is no `NAME=VALUE`.
pub fn read_overrides(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for word in words(text) {
        if let Some(rest) = word.strip_prefix("ParameterKey=") {
            let (name, value) = rest
                .split_once(",ParameterValue=")
                .ok_or_else(|| format!("`{word}` has no `,ParameterValue=`"))?;
            pairs.push((unquoted(name), unquoted(value)));
            continue;
        }
        let (name, value) = word
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("`{word}` is no NAME=VALUE"))?;
        pairs.push((unquoted(name), unquoted(value)));
    }
    Ok(pairs)
}

/// Splits at blanks outside of quotes, where a new `NAME=` begins: a value may have
/// blanks of its own when the shell took the quotes away.
fn words(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = vec![String::new()];
    let mut quote = None;
    let mut escaped = false;
    for c in text.trim().chars() {
        let last = pieces.len() - 1;
        if escaped {
            pieces[last].push(c);
            escaped = false;
            continue;
        }
        match (c, quote) {
            ('\\', Some(_)) => escaped = true,
            (c, Some(open)) if c == open => {
                quote = None;
                pieces[last].push(c);
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                pieces[last].push(c);
            }
            (c, None) if c.is_whitespace() => {
                if !pieces[last].is_empty() {
                    pieces.push(String::new());
                }
            }
            (c, _) => pieces[last].push(c),
        }
    }
    let mut words: Vec<String> = Vec::new();
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        let begins = piece.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_-:\"'".contains(c))
        });
        match words.last_mut() {
            Some(last) if !begins => {
                last.push(' ');
                last.push_str(&piece);
            }
            _ => words.push(piece),
        }
    }
    words
}

fn unquoted(text: &str) -> String {
    ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    fn pairs(text: &str) -> Vec<(String, String)> {
        read_overrides(text).unwrap()
    }

    #[test]
    fn overrides_are_read_in_both_forms() {
        let expected = [("A", "1"), ("B", "two words"), ("C", "x=y")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));

        assert_eq!(pairs(r#"A=1 B="two words" C=x=y"#), expected);
        assert_eq!(
            pairs(
                "ParameterKey=A,ParameterValue=1 ParameterKey=B,ParameterValue='two words' ParameterKey=C,ParameterValue=x=y"
            ),
            expected
        );
        assert_eq!(pairs("B=two words"), expected[1..2]);
        assert_eq!(pairs("L=a,b,c")[0].1, "a,b,c");
        assert!(read_overrides("nonsense").is_err());
    }

    fn read(yaml: &str, given: &[(&str, &str)]) -> (Parameters, Diagnostics) {
        let mut sources = Sources::new();
        let file = sources.add_text("t.yaml", yaml);
        let mut findings = Diagnostics::default();
        let node = sources.load(file, &mut findings).unwrap();
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let parameters = Parameters::read(Some(&node), &given, &mut findings);
        (parameters, findings)
    }

    #[test]
    fn values_come_from_who_deploys_or_the_default() {
        let (parameters, findings) = read(
            "A: {Type: String, Default: x}\nB: {Type: CommaDelimitedList, Default: 'a, b'}\nC: {Type: String}\nD: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /a/b}\n",
            &[("A", "y")],
        );

        assert!(findings.is_empty());
        assert!(matches!(parameters.get("A"), Some(ParameterValue::Text(text)) if text == "y"));
        assert!(
            matches!(parameters.get("B"), Some(ParameterValue::List(items)) if items == &["a", "b"])
        );
        assert!(matches!(
            parameters.get("C"),
            Some(ParameterValue::Missing(_))
        ));
        assert!(
            matches!(parameters.get("D"), Some(ParameterValue::Missing(why)) if why.contains("/a/b"))
        );
    }

    #[test]
    fn values_that_are_not_allowed_are_named() {
        let (_, findings) = read(
            "A: {Type: String, AllowedValues: [a, b]}\nB: {Type: Number, MinValue: 3}\nC: {Type: String, AllowedPattern: '[a-z]+', NoEcho: true}\n",
            &[("A", "c"), ("B", "2"), ("C", "SECRET")],
        );

        assert_eq!(findings.count(crate::source::Severity::Error), 3);
        assert!(findings.iter().all(|one| !one.message.contains("SECRET")));
    }
}
