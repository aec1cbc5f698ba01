//! What `Ref` and `Fn::GetAtt` of a resource give here.
//!
//! At AWS these are made up when the resource is made; here they follow from the
//! logical id, so that they stay the same from run to run, and have the form that
//! AWS documents ("Return values" of each resource type).

use super::intrinsics::problem;
use super::{Resource, Stack, cfn_function};
use crate::base::id::{function_url_id, stable_id};
use crate::source::{Diagnostic, Span};

type Told = Result<String, Box<Diagnostic>>;

/// Most names that may depend on each other.
const LONGEST_CHAIN: usize = 32;

impl Stack<'_> {
    pub(super) fn has_resource(&self, name: &str) -> bool {
        self.resources.contains_key(name)
    }

    /// Whether `Api.Stage` and the like name a resource that SAM makes.
    pub(super) fn is_generated(&self, name: &str) -> bool {
        self.generated.contains_key(name)
    }

    /// A logical id behind the path of its stack, as SAM's CLI writes it: `Outer/Inner/Id`.
    pub(super) fn path_of(&self, id: &str) -> String {
        format!("{}{id}", self.pseudo.path)
    }

    /// The name that a resource has where the template gives it none: no other stack's
    /// has the same.
    pub(super) fn physical(&self, id: &str) -> String {
        self.path_of(id).replace('/', "-")
    }

    /// The same in letters and digits alone.
    fn joined(&self, id: &str) -> String {
        self.path_of(id).replace('/', "")
    }

    /// `Ref` of a resource.
    pub(super) fn reference_of(&self, name: &str, span: Span) -> Told {
        let (id, resource) = self.live(name, span)?;
        let named = |property: &str| self.property(id, resource, property);
        let pseudo = &self.pseudo;
        Ok(match resource.kind.as_str() {
            "AWS::Lambda::Function" | "AWS::Serverless::Function" => self.function_name(id),
            "AWS::Lambda::Alias" => {
                let alias = named("Name").unwrap_or_else(|| self.physical(id));
                self.qualified(resource, &alias)
            }
            "AWS::Lambda::Version" => self.qualified(resource, "1"),
            "AWS::ApiGateway::RestApi"
            | "AWS::Serverless::Api"
            | "AWS::ApiGatewayV2::Api"
            | "AWS::Serverless::HttpApi"
            | "AWS::Serverless::WebSocketApi" => self.api_id(id),
            "AWS::ApiGateway::Stage" | "AWS::ApiGatewayV2::Stage" => {
                named("StageName").unwrap_or_else(|| self.physical(id))
            }
            "AWS::ApiGateway::Model" => named("Name").unwrap_or_else(|| self.physical(id)),
            "AWS::ApiGateway::DomainName" | "AWS::ApiGatewayV2::DomainName" => {
                named("DomainName").unwrap_or_else(|| self.physical(id))
            }
            kind if kind.starts_with("AWS::ApiGateway") => stable_id(&self.path_of(id)),
            "AWS::Cognito::UserPool" => user_pool_id(&pseudo.region, &self.joined(id)),
            "AWS::SQS::Queue" => format!(
                "https://sqs.{}.{}/{}/{}",
                pseudo.region,
                pseudo.url_suffix(),
                pseudo.account_id,
                named("QueueName").unwrap_or_else(|| self.physical(id))
            ),
            "AWS::SNS::Topic" => pseudo.arn(
                "sns",
                &named("TopicName").unwrap_or_else(|| self.physical(id)),
            ),
            "AWS::StepFunctions::StateMachine" | "AWS::Serverless::StateMachine" => {
                self.state_machine_arn(id, resource)
            }
            "AWS::Lambda::LayerVersion" | "AWS::Serverless::LayerVersion" => {
                let name = named("LayerName").unwrap_or_else(|| self.physical(id));
                pseudo.arn("lambda", &format!("layer:{name}:1"))
            }
            "AWS::SecretsManager::Secret" => pseudo.arn(
                "secretsmanager",
                &format!(
                    "secret:{}",
                    named("Name").unwrap_or_else(|| self.physical(id))
                ),
            ),
            "AWS::CloudFormation::Stack" | "AWS::Serverless::Application" => {
                pseudo.stack_id(&format!("{}-{id}", pseudo.stack_name()))
            }
            // Most types give their physical name.
            kind => named(name_property(kind)).unwrap_or_else(|| self.physical(id)),
        })
    }

    /// `Fn::GetAtt` of a resource.
    pub(super) fn attribute_of(&self, name: &str, attribute: &str, span: Span) -> Told {
        // `Api.Stage` names a resource of its own: its attributes are behind the next dot.
        if let Some((first, rest)) = attribute.split_once('.') {
            let generated = format!("{name}.{first}");
            if self.is_generated(&generated) {
                return self.attribute_of(&generated, rest, span);
            }
        }
        if self.is_generated(&format!("{name}.{attribute}")) {
            return self.reference_of(&format!("{name}.{attribute}"), span);
        }
        let (id, resource) = self.live(name, span)?;
        if let Some(outputs) = self.outputs.get(id)
            && let Some(output) = attribute.strip_prefix("Outputs.")
        {
            return match outputs.get(output) {
                Some(told) => told.clone(),
                None => Err(Box::new(
                    Diagnostic::error(
                        "E1010",
                        format!("the nested stack `{id}` has no output `{output}`"),
                    )
                    .at(span)
                    .suggest(output, outputs.keys().map(String::as_str)),
                )),
            };
        }
        let named = |property: &str| {
            self.property(id, resource, property)
                .unwrap_or_else(|| self.physical(id))
        };
        let pseudo = &self.pseudo;
        let kind = resource.kind.as_str();
        Ok(match (kind, attribute) {
            ("AWS::Lambda::Function" | "AWS::Serverless::Function", "Arn") => self.function_arn(id),
            ("AWS::Lambda::Url", "FunctionUrl") => {
                let target = cfn_function::target(self, &resource.properties, "TargetFunctionArn");
                let function = target.map_or_else(|| self.physical(id), |(name, _)| name);
                // The suffix is the same in every partition.
                format!(
                    "https://{}.lambda-url.{}.on.aws/",
                    function_url_id(&function),
                    pseudo.region
                )
            }
            ("AWS::Lambda::Version", "Version") => "1".to_owned(),
            ("AWS::Lambda::LayerVersion" | "AWS::Serverless::LayerVersion", "LayerVersionArn") => {
                self.reference_of(id, span)?
            }
            ("AWS::Lambda::Alias" | "AWS::Lambda::Version", "AliasArn" | "FunctionArn") => {
                self.reference_of(id, span)?
            }
            ("AWS::ApiGateway::RestApi" | "AWS::Serverless::Api", "RootResourceId") => {
                self.root_resource_id(id)
            }
            (
                "AWS::ApiGatewayV2::Api"
                | "AWS::Serverless::HttpApi"
                | "AWS::Serverless::WebSocketApi",
                "ApiEndpoint",
            ) => {
                let is_websocket = kind == "AWS::Serverless::WebSocketApi"
                    || self.property(id, resource, "ProtocolType").as_deref() == Some("WEBSOCKET");
                format!(
                    "{}://{}.execute-api.{}.{}",
                    if is_websocket { "wss" } else { "https" },
                    self.api_id(id),
                    pseudo.region,
                    pseudo.url_suffix()
                )
            }
            ("AWS::Cognito::UserPool", "Arn") => pseudo.arn(
                "cognito-idp",
                &format!(
                    "userpool/{}",
                    user_pool_id(&pseudo.region, &self.joined(id))
                ),
            ),
            ("AWS::Cognito::UserPool", "ProviderURL") => {
                format!(
                    "https://{}",
                    user_pool_provider(&pseudo.region, &self.joined(id))
                )
            }
            ("AWS::Cognito::UserPool", "ProviderName") => {
                user_pool_provider(&pseudo.region, &self.joined(id))
            }
            ("AWS::Cognito::UserPool", "UserPoolId") => {
                user_pool_id(&pseudo.region, &self.joined(id))
            }
            ("AWS::DynamoDB::Table" | "AWS::Serverless::SimpleTable", "Arn") => {
                pseudo.arn("dynamodb", &format!("table/{}", named("TableName")))
            }
            ("AWS::DynamoDB::Table", "StreamArn") => pseudo.arn(
                "dynamodb",
                &format!(
                    "table/{}/stream/2024-01-01T00:00:00.000",
                    named("TableName")
                ),
            ),
            ("AWS::SQS::Queue", "Arn") => pseudo.arn("sqs", &named("QueueName")),
            ("AWS::SQS::Queue", "QueueName") => named("QueueName"),
            ("AWS::SQS::Queue", "QueueUrl") => self.reference_of(id, span)?,
            ("AWS::SNS::Topic", "TopicName") => named("TopicName"),
            ("AWS::SNS::Topic", "TopicArn") => self.reference_of(id, span)?,
            ("AWS::StepFunctions::StateMachine" | "AWS::Serverless::StateMachine", "Arn") => {
                self.state_machine_arn(id, resource)
            }
            ("AWS::StepFunctions::StateMachine" | "AWS::Serverless::StateMachine", "Name") => self
                .property(id, resource, "StateMachineName")
                .or_else(|| self.property(id, resource, "Name"))
                .unwrap_or_else(|| self.physical(id)),
            ("AWS::S3::Bucket", "Arn") => {
                format!("arn:{}:s3:::{}", pseudo.partition(), named("BucketName"))
            }
            ("AWS::S3::Bucket", "DomainName") => {
                format!("{}.s3.{}", named("BucketName"), pseudo.url_suffix())
            }
            ("AWS::S3::Bucket", "RegionalDomainName") => format!(
                "{}.s3.{}.{}",
                named("BucketName"),
                pseudo.region,
                pseudo.url_suffix()
            ),
            ("AWS::IAM::Role", "Arn") => format!(
                "arn:{}:iam::{}:role/{}",
                pseudo.partition(),
                pseudo.account_id,
                named("RoleName")
            ),
            ("AWS::Kinesis::Stream", "Arn") => {
                pseudo.arn("kinesis", &format!("stream/{}", named("Name")))
            }
            ("AWS::Events::EventBus", "Arn") => {
                pseudo.arn("events", &format!("event-bus/{}", named("Name")))
            }
            ("AWS::Logs::LogGroup", "Arn") => {
                pseudo.arn("logs", &format!("log-group:{}:*", named("LogGroupName")))
            }
            // `ResourceId`, `AuthorizerId`, `ApiId`, `RestApiId`, `APIKeyId`, `ClientId`, `Id`, …
            (_, attribute) if attribute.ends_with("Id") => self.reference_of(id, span)?,
            (_, attribute) => format!("{id}.{attribute}"),
        })
    }

    /// Whether the attribute is one of which only the form is known.
    pub(super) fn is_placeholder(&self, text: &str) -> bool {
        text.split_once('.')
            .is_some_and(|(id, _)| self.resources.contains_key(id))
    }

    /// The name that a function has.
    pub(super) fn function_name(&self, id: &str) -> String {
        let given = self
            .resources
            .get(id)
            .and_then(|resource| self.property(id, resource, "FunctionName"));
        given.unwrap_or_else(|| self.physical(id))
    }

    /// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
    pub(super) fn function_arn(&self, id: &str) -> String {
        let name = self.function_name(id);
        if name.starts_with("arn:") {
            return name;
        }
        self.pseudo.arn("lambda", &format!("function:{name}"))
    }

    /// The id of an API: the configured one for the API that is served first.
    pub(super) fn api_id(&self, id: &str) -> String {
        match &self.settings.api_id {
            Some(configured) if self.first_api.as_deref() == Some(id) => configured.clone(),
            _ => stable_id(&self.path_of(id)),
        }
    }

    pub(super) fn root_resource_id(&self, id: &str) -> String {
        stable_id(&format!("{}/", self.path_of(id)))
    }

    fn live(&self, name: &str, span: Span) -> Result<(&str, &Resource), Box<Diagnostic>> {
        let id = self.generated.get(name).map_or(name, String::as_str);
        let Some((id, resource)) = self.resources.get_key_value(id) else {
            let known = self
                .resources
                .keys()
                .map(String::as_str)
                .chain(self.parameters.names());
            return Err(Box::new(
                Diagnostic::error("E1010", format!("the template has no `{name}`"))
                    .at(span)
                    .suggest(name, known),
            ));
        };
        if !self.is_live(resource) {
            let condition = resource.condition.as_deref().unwrap_or_default();
            return Err(problem(
                "E1016",
                span,
                format!("`{id}` is not there, since its condition `{condition}` does not hold"),
            ));
        }
        Ok((id, resource))
    }

    /// A property that tells a name. What it names in turn is followed so far only.
    fn property(&self, id: &str, resource: &Resource, property: &str) -> Option<String> {
        let node = super::tree::get(&resource.properties, property)?;
        if let (None, Some(text)) = (super::tree::intrinsic(node), node.as_str()) {
            return Some(text.to_owned());
        }
        let is_open = {
            let naming = self.naming.borrow();
            naming.len() > LONGEST_CHAIN || naming.iter().any(|open| open == id)
        };
        if is_open {
            return None;
        }
        self.naming.borrow_mut().push(id.to_owned());
        let value = self.try_resolve(node);
        self.naming.borrow_mut().pop();
        value.ok()??.as_str().map(str::to_owned)
    }

    fn state_machine_arn(&self, id: &str, resource: &Resource) -> String {
        let name = self
            .property(id, resource, "StateMachineName")
            .or_else(|| self.property(id, resource, "Name"))
            .unwrap_or_else(|| self.physical(id));
        self.pseudo.arn("states", &format!("stateMachine:{name}"))
    }

    /// The ARN of an alias or version.
    fn qualified(&self, resource: &Resource, qualifier: &str) -> String {
        let function = super::tree::get(&resource.properties, "FunctionName")
            .and_then(|node| self.try_resolve(node).ok()?)
            .and_then(|node| node.as_str().map(str::to_owned))
            .unwrap_or_default();
        let arn = if function.starts_with("arn:") {
            function
        } else {
            self.pseudo.arn("lambda", &format!("function:{function}"))
        };
        format!("{arn}:{qualifier}")
    }
}

fn user_pool_id(region: &str, id: &str) -> String {
    format!("{region}_{id}")
}

fn user_pool_provider(region: &str, id: &str) -> String {
    format!(
        "cognito-idp.{region}.amazonaws.com/{}",
        user_pool_id(region, id)
    )
}

/// The property that holds the physical name of a type.
fn name_property(kind: &str) -> &'static str {
    match kind {
        "AWS::DynamoDB::Table" | "AWS::Serverless::SimpleTable" => "TableName",
        "AWS::S3::Bucket" => "BucketName",
        "AWS::IAM::Role" => "RoleName",
        "AWS::Logs::LogGroup" => "LogGroupName",
        "AWS::SSM::Parameter" | "AWS::Kinesis::Stream" | "AWS::Events::EventBus" => "Name",
        "AWS::Cognito::UserPoolDomain" => "Domain",
        "AWS::Cognito::UserPoolClient" => "",
        _ => "",
    }
}
