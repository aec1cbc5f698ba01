//! CloudFormation's intrinsic functions in an OpenAPI document, where no
//! template says what they refer to.
//!
//! Pseudo-parameters have the configured region and account. A logical id is
//! taken as the name of what it most likely is: a function in a `uri`, a role
//! in `credentials`, a user pool in `providerARNs`.

use crate::source::{Node, Value};

/// Region, account and partition that pseudo-parameters stand for.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    pub(super) region: String,
    pub(super) account_id: String,
    pub(super) partition: &'static str,
}

/// What a text is for, which tells what a logical id in it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The uri of an integration or an authorizer: ids are Lambda functions.
    Function,
    /// Ids are IAM roles.
    Role,
    /// Ids are Cognito user pools.
    UserPool,
    /// Anything else.
    Other,
}

/// Whether `${name}` is a variable of API Gateway, which stays for the request.
fn stays(name: &str) -> bool {
    [
        "stageVariables",
        "request.",
        "response.",
        "context.",
        "integration.",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// The function that a node calls, in the long or the short form, and its argument.
fn call(node: &Node) -> Option<(String, &Value)> {
    if let Some(tag) = &node.tag {
        let name = match &**tag {
            "Ref" => "Ref".to_owned(),
            tag => format!("Fn::{tag}"),
        };
        return Some((name, &node.value));
    }
    match &node.value {
        Value::Mapping(mapping) if mapping.len() == 1 => {
            let (key, (_, argument)) = mapping.first()?;
            (key == "Ref" || key.starts_with("Fn::")).then(|| (key.clone(), &argument.value))
        }
        _ => None,
    }
}

impl Environment {
    pub(super) fn new(region: &str, account_id: &str) -> Self {
        let partition = if region.starts_with("cn-") {
            "aws-cn"
        } else if region.starts_with("us-gov-") {
            "aws-us-gov"
        } else {
            "aws"
        };
        Self {
            region: region.to_owned(),
            account_id: account_id.to_owned(),
            partition,
        }
    }

    /// The text that a node stands for.
    ///
    /// # Errors
    ///
    /// Words on what stands there instead of a text, or what cannot be resolved.
    pub(super) fn text(&self, node: &Node, purpose: Purpose) -> Result<String, String> {
        let Some((name, argument)) = call(node) else {
            let text = node
                .as_str()
                .ok_or_else(|| format!("must be text, found {}", node.describe()))?;
            // Templates are often split so that the `Fn::Sub` stands around the whole document.
            if purpose == Purpose::Function && text.contains(".Arn}") {
                return self.substitute(text, purpose, &|_| None, true);
            }
            return Ok(text.to_owned());
        };
        self.evaluate(&name, argument, purpose)
            .map_err(|problem| format!("uses `{name}`, which {problem}"))
    }

    fn evaluate(&self, name: &str, argument: &Value, purpose: Purpose) -> Result<String, String> {
        let malformed = || "is not written as CloudFormation takes it".to_owned();
        match (name, argument) {
            ("Ref", Value::Scalar { text, .. }) => self.reference(text, purpose),
            ("Fn::Sub", Value::Scalar { text, .. }) => {
                self.substitute(text, purpose, &|_| None, false)
            }
            ("Fn::Sub", Value::Sequence(items)) => {
                let (Some(text), variables) = (items.first().and_then(Node::as_str), items.get(1))
                else {
                    return Err(malformed());
                };
                let lookup = |name: &str| {
                    let node = variables?.get(name)?;
                    Some(self.text(node, purpose))
                };
                self.substitute(text, purpose, &lookup, false)
            }
            ("Fn::GetAtt", Value::Scalar { text, .. }) => {
                let (resource, attribute) = text.split_once('.').ok_or_else(malformed)?;
                self.attribute(resource, attribute, purpose)
            }
            ("Fn::GetAtt", Value::Sequence(items)) => match items.as_slice() {
                [resource, attribute] => self.attribute(
                    resource.as_str().ok_or_else(malformed)?,
                    attribute.as_str().ok_or_else(malformed)?,
                    purpose,
                ),
                _ => Err(malformed()),
            },
            ("Fn::Join", Value::Sequence(items)) => {
                let [delimiter, parts] = items.as_slice() else {
                    return Err(malformed());
                };
                let delimiter = match &delimiter.value {
                    Value::Scalar { text, .. } => text.as_str(),
                    Value::Sequence(_) | Value::Mapping(_) => return Err(malformed()),
                };
                let parts: Vec<String> = parts
                    .as_sequence()
                    .ok_or_else(malformed)?
                    .iter()
                    .map(|part| self.text(part, purpose))
                    .collect::<Result<_, _>>()?;
                Ok(parts.join(delimiter))
            }
            ("Ref" | "Fn::Sub" | "Fn::GetAtt" | "Fn::Join", _) => Err(malformed()),
            _ => Err("cannot be resolved without a template".to_owned()),
        }
    }

    /// Fills `${…}` in a text. With `only_attributes`, only `${Name.Attribute}`.
    fn substitute(
        &self,
        text: &str,
        purpose: Purpose,
        lookup: &dyn Fn(&str) -> Option<Result<String, String>>,
        only_attributes: bool,
    ) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, from) = rest.split_at(start);
            filled.push_str(before);
            let Some(end) = from.find('}') else {
                rest = from;
                break;
            };
            let name = from[2..end].trim();
            let whole = &from[..=end];
            rest = &from[end + 1..];
            if let Some(literal) = name.strip_prefix('!') {
                filled.push_str("${");
                filled.push_str(literal);
                filled.push('}');
            } else if let Some(value) = lookup(name) {
                filled.push_str(&value?);
            } else if stays(name) {
                filled.push_str(whole);
            } else if let Some((resource, attribute)) = name.split_once('.') {
                filled.push_str(&self.attribute(resource, attribute, purpose)?);
            } else if only_attributes {
                filled.push_str(whole);
            } else {
                filled.push_str(&self.reference(name, purpose)?);
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// `Ref` of a pseudo-parameter or a logical id.
    fn reference(&self, name: &str, purpose: Purpose) -> Result<String, String> {
        match name {
            "AWS::Region" => return Ok(self.region.clone()),
            "AWS::AccountId" => return Ok(self.account_id.clone()),
            "AWS::Partition" => return Ok(self.partition.to_owned()),
            "AWS::URLSuffix" => return Ok("amazonaws.com".to_owned()),
            _ if name.starts_with("AWS::") => {
                return Err(format!(
                    "names `{name}`, which only a deployed stack has a value for"
                ));
            }
            _ => {}
        }
        if purpose == Purpose::Function {
            // A parameter that holds an ARN is usually called so.
            if let Some(function) = name.strip_suffix("Arn").filter(|name| !name.is_empty()) {
                return Ok(self.function(function, None));
            }
            // SAM calls the alias of `AutoPublishAlias: live` `FunctionAliaslive`, and its Ref is an ARN.
            if let Some((function, alias)) = name.rsplit_once("Alias")
                && !function.is_empty()
                && !alias.is_empty()
            {
                return Ok(self.function(function, Some(alias)));
            }
        }
        Ok(name.to_owned())
    }

    fn attribute(
        &self,
        resource: &str,
        attribute: &str,
        purpose: Purpose,
    ) -> Result<String, String> {
        let (partition, account) = (self.partition, &self.account_id);
        match (attribute, purpose) {
            ("Arn" | "FunctionArn", Purpose::Function) => Ok(self.function(resource, None)),
            // SAM: `${Function.Alias}` and `${Function.Version}` are ARNs of what AutoPublishAlias makes.
            ("Alias" | "Version", Purpose::Function) => Ok(self.function(resource, None)),
            ("Arn", Purpose::Role) => Ok(format!("arn:{partition}:iam::{account}:role/{resource}")),
            ("Arn", Purpose::UserPool) => Ok(format!(
                "arn:{partition}:cognito-idp:{}:{account}:userpool/{resource}",
                self.region
            )),
            _ => Err(format!(
                "asks for `{resource}.{attribute}`, which only a template can tell"
            )),
        }
    }

    fn function(&self, name: &str, alias: Option<&str>) -> String {
        let Self {
            region,
            account_id,
            partition,
        } = self;
        let qualifier = alias.map_or_else(String::new, |alias| format!(":{alias}"));
        format!("arn:{partition}:lambda:{region}:{account_id}:function:{name}{qualifier}")
    }

    /// Fills `${AWS::Region}`, `${AWS::AccountId}` and `${AWS::Partition}` in every
    /// text of a tree, keys excepted.
    ///
    /// Source: API Gateway developer guide, "AWS variables for OpenAPI import".
    pub(super) fn fill_variables(&self, node: &mut Node) {
        match &mut node.value {
            Value::Scalar { text, .. } => {
                if text.contains("${AWS::") {
                    *text = text
                        .replace("${AWS::Region}", &self.region)
                        .replace("${AWS::AccountId}", &self.account_id)
                        .replace("${AWS::Partition}", self.partition);
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    self.fill_variables(item);
                }
            }
            Value::Mapping(mapping) => {
                for (_, (_, value)) in mapping.iter_mut() {
                    self.fill_variables(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Diagnostics, Sources};

    fn resolve(yaml: &str, purpose: Purpose) -> Result<String, String> {
        let mut sources = Sources::new();
        let file = sources.add_text("x.yaml", format!("v: {yaml}"));
        let node = sources.load(file, &mut Diagnostics::default()).unwrap();
        Environment::new("eu-west-1", "111122223333").text(node.get("v").unwrap(), purpose)
    }

    const ARN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:Hello";

    #[test]
    fn a_function_is_found_in_every_form() {
        let long = format!(
            "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{ARN}/invocations"
        );
        for yaml in [
            "!Sub 'arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Hello.Arn}/invocations'",
            "{Fn::Sub: 'arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${HelloArn}/invocations'}",
            "{Fn::Sub: ['arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${F}/invocations', {F: !GetAtt Hello.Arn}]}",
            "!Join ['', ['arn:aws:apigateway:', !Ref AWS::Region, ':lambda:path/2015-03-31/functions/', {Fn::GetAtt: [Hello, Arn]}, /invocations]]",
            "'arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/${Hello.Arn}/invocations'",
        ] {
            assert_eq!(
                resolve(yaml, Purpose::Function).as_deref(),
                Ok(&*long),
                "{yaml}"
            );
        }
        assert_eq!(
            resolve("!GetAtt Hello.Arn", Purpose::Function).as_deref(),
            Ok(ARN)
        );
        assert_eq!(
            resolve("!Ref HelloAliaslive", Purpose::Function),
            Ok(format!("{ARN}:live"))
        );
    }

    #[test]
    fn stage_variables_and_literals_stay() {
        assert_eq!(
            resolve(
                "!Sub 'http://${stageVariables.host}/${!kept}'",
                Purpose::Function
            )
            .as_deref(),
            Ok("http://${stageVariables.host}/${kept}")
        );
    }

    #[test]
    fn roles_and_pools_get_their_own_arns() {
        assert_eq!(
            resolve("!GetAtt Invoke.Arn", Purpose::Role).as_deref(),
            Ok("arn:aws:iam::111122223333:role/Invoke")
        );
        assert_eq!(
            resolve("{Fn::GetAtt: [Pool, Arn]}", Purpose::UserPool).as_deref(),
            Ok("arn:aws:cognito-idp:eu-west-1:111122223333:userpool/Pool")
        );
    }

    #[test]
    fn what_only_a_template_knows_is_said() {
        for yaml in [
            "!ImportValue x",
            "{Fn::If: [a, b, c]}",
            "!Sub '${Balancer.DNSName}'",
            "!Ref AWS::StackId",
            "{Fn::Sub: {}}",
            "[]",
        ] {
            assert!(resolve(yaml, Purpose::Function).is_err(), "{yaml}");
        }
    }
}
