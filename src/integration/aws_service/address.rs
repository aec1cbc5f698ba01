//! Where an `aws` integration's `uri` leads: service, host, protocol, action.
//!
//! Source: API Gateway developer guide, "x-amazon-apigateway-integration object"
//! and "Integrate AWS services"; what each service wants, its API reference.

/// A parsed `arn:aws:apigateway:REGION:SERVICE:path/…` or `…:action/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Region that is called and signed for.
    pub region: String,
    /// The service's name in its host: `dynamodb`, `states`.
    pub service: String,
    /// What stands before the service: `bucket` of `bucket.s3`.
    pub subdomain: Option<String>,
    /// `amazonaws.com` or that of the partition.
    domain: &'static str,
    /// What is called there.
    pub call: Call,
}

/// What is called at a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A path, placeholders and query included, without its first slash.
    Path(String),
    /// An action by name.
    Action {
        /// `PutItem`.
        name: String,
        /// Parameters after the name: `SendMessage&QueueUrl=…`.
        query: String,
    },
}

/// How a service takes an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `X-Amz-Target: PREFIX.ACTION` and a JSON body of this version.
    Json {
        /// What stands before the action.
        prefix: &'static str,
        /// The body's media type.
        content_type: &'static str,
    },
    /// `Action=NAME&Version=VERSION` in the query.
    Query {
        /// The API's version; empty where it is not known.
        version: &'static str,
    },
}

const JSON_1_0: &str = "application/x-amz-json-1.0";
const JSON_1_1: &str = "application/x-amz-json-1.1";

/// Services by their name in the uri: what their actions look like.
const PROTOCOLS: &[(&str, Protocol)] = &[
    ("athena", json("AmazonAthena", JSON_1_1)),
    ("autoscaling", query("2011-01-01")),
    ("cloudformation", query("2010-05-15")),
    ("codebuild", json("CodeBuild_20161006", JSON_1_1)),
    ("codepipeline", json("CodePipeline_20150709", JSON_1_1)),
    (
        "cognito-identity",
        json("AWSCognitoIdentityService", JSON_1_1),
    ),
    (
        "cognito-idp",
        json("AWSCognitoIdentityProviderService", JSON_1_1),
    ),
    ("comprehend", json("Comprehend_20171127", JSON_1_1)),
    ("dynamodb", json("DynamoDB_20120810", JSON_1_0)),
    ("ec2", query("2016-11-15")),
    ("ecs", json("AmazonEC2ContainerServiceV20141113", JSON_1_1)),
    ("email", query("2010-12-01")),
    ("events", json("AWSEvents", JSON_1_1)),
    ("firehose", json("Firehose_20150804", JSON_1_1)),
    ("glue", json("AWSGlue", JSON_1_1)),
    ("iam", query("2010-05-08")),
    ("kinesis", json("Kinesis_20131202", JSON_1_1)),
    ("kms", json("TrentService", JSON_1_1)),
    ("logs", json("Logs_20140328", JSON_1_1)),
    ("monitoring", query("2010-08-01")),
    ("rds", query("2014-10-31")),
    ("redshift-data", json("RedshiftData", JSON_1_1)),
    ("rekognition", json("RekognitionService", JSON_1_1)),
    ("sagemaker", json("SageMaker", JSON_1_1)),
    ("secretsmanager", json("secretsmanager", JSON_1_1)),
    (
        "servicediscovery",
        json("Route53AutoNaming_v20170314", JSON_1_1),
    ),
    ("sns", query("2010-03-31")),
    ("sqs", query("2012-11-05")),
    ("ssm", json("AmazonSSM", JSON_1_1)),
    ("states", json("AWSStepFunctions", JSON_1_0)),
    (
        "streams.dynamodb",
        json("DynamoDBStreams_20120810", JSON_1_0),
    ),
    ("sts", query("2011-06-15")),
    ("textract", json("Textract", JSON_1_1)),
    ("transcribe", json("Transcribe", JSON_1_1)),
    (
        "translate",
        json("AWSShineFrontendService_20170701", JSON_1_1),
    ),
];

const fn json(prefix: &'static str, content_type: &'static str) -> Protocol {
    Protocol::Json {
        prefix,
        content_type,
    }
}

const fn query(version: &'static str) -> Protocol {
    Protocol::Query { version }
}

/// Names that differ between a service's host, its signature and the variable
/// `AWS_ENDPOINT_URL_…`: host, signing name, service id.
const NAMES: &[(&str, &str, &str)] = &[
    ("states", "states", "SFN"),
    ("events", "events", "EVENTBRIDGE"),
    ("monitoring", "monitoring", "CLOUDWATCH"),
    ("logs", "logs", "CLOUDWATCH_LOGS"),
    ("email", "ses", "SES"),
    ("cognito-idp", "cognito-idp", "COGNITO_IDENTITY_PROVIDER"),
    ("secretsmanager", "secretsmanager", "SECRETS_MANAGER"),
    (
        "elasticloadbalancing",
        "elasticloadbalancing",
        "ELASTIC_LOAD_BALANCING",
    ),
    ("autoscaling", "autoscaling", "AUTO_SCALING"),
    ("iotdata", "iotdata", "IOT_DATA_PLANE"),
    ("execute-api", "execute-api", "API_GATEWAY"),
];

impl Address {
    /// Reads a uri whose stage variables are filled.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(uri: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{uri}` is no AWS integration; expected arn:aws:apigateway:REGION:SERVICE:path/PATH or …:action/ACTION"
            )
        };
        let mut parts = uri.splitn(6, ':');
        let mut next = || parts.next().ok_or_else(wrong);
        let (arn, partition, api, region, target, call) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        let is_word = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if arn != "arn" || api != "apigateway" || !is_word(region) {
            return Err(wrong());
        }
        let (subdomain, service) = match target {
            "streams.dynamodb" => (None, target),
            _ => match target.rsplit_once('.') {
                Some((subdomain, service)) => (Some(subdomain), service),
                None => (None, target),
            },
        };
        let labels = subdomain.into_iter().flat_map(|text| text.split('.'));
        if !labels.chain(service.split('.')).all(is_word) {
            return Err(wrong());
        }
        let call = if let Some(path) = call.strip_prefix("path/") {
            Call::Path(path.trim_start_matches('/').to_owned())
        } else if let Some(action) = call.strip_prefix("action/") {
            let (name, query) = action.split_once('&').unwrap_or((action, ""));
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) || name.is_empty() {
                return Err(wrong());
            }
            Call::Action {
                name: name.to_owned(),
                query: query.to_owned(),
            }
        } else {
            return Err(wrong());
        };
        Ok(Self {
            region: region.to_owned(),
            service: service.to_owned(),
            subdomain: subdomain.map(str::to_owned),
            domain: match partition {
                "aws-cn" => "amazonaws.com.cn",
                _ => "amazonaws.com",
            },
            call,
        })
    }

    /// How the service takes actions; an unknown one is taken for a query service.
    pub fn protocol(&self) -> Protocol {
        PROTOCOLS
            .iter()
            .find(|(name, _)| *name == self.service)
            .map_or(query(""), |(_, protocol)| *protocol)
    }

    /// The name that signatures carry.
    pub fn signing_name(&self) -> &str {
        match self.service.as_str() {
            "streams.dynamodb" => "dynamodb",
            // Hosts of their own that sign for the service.
            "data-ats" | "data" if self.subdomain.is_none() => "iotdata",
            name => NAMES
                .iter()
                .find(|(host, _, _)| *host == name)
                .map_or(name, |(_, signing, _)| signing),
        }
    }

    /// What stands after `AWS_ENDPOINT_URL_` for the service.
    pub fn service_id(&self) -> String {
        NAMES
            .iter()
            .find(|(host, _, _)| *host == self.service)
            .map_or_else(
                || {
                    self.service
                        .to_ascii_uppercase()
                        .replace(['-', '.', ' '], "_")
                },
                |(_, _, id)| (*id).to_owned(),
            )
    }

    /// The address up to the path, without a slash at its end. `endpoint` stands
    /// for AWS's own host; a bucket before S3 becomes the path's beginning there.
    pub fn base(&self, endpoint: Option<&str>) -> String {
        let Some(endpoint) = endpoint else {
            let global = ["iam", "route53", "cloudfront"].contains(&self.service.as_str());
            let host = match self.call {
                // Synchronous executions have a host of their own.
                Call::Action { ref name, .. }
                    if self.service == "states" && name == "StartSyncExecution" =>
                {
                    format!("sync-states.{}.{}", self.region, self.domain)
                }
                _ if global => format!("{}.{}", self.service, self.domain),
                _ => format!("{}.{}.{}", self.service, self.region, self.domain),
            };
            return match &self.subdomain {
                Some(subdomain) => format!("https://{subdomain}.{host}"),
                None => format!("https://{host}"),
            };
        };
        let endpoint = endpoint.trim_end_matches('/');
        match &self.subdomain {
            Some(bucket) if self.service == "s3" => format!("{endpoint}/{bucket}"),
            _ => endpoint.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(rest: &str) -> Address {
        Address::parse(&format!("arn:aws:apigateway:eu-west-1:{rest}")).unwrap()
    }

    #[test]
    fn both_forms_are_read() {
        let item = address("dynamodb:action/PutItem");
        assert_eq!(
            item.call,
            Call::Action {
                name: "PutItem".into(),
                query: String::new()
            }
        );
        assert_eq!(item.base(None), "https://dynamodb.eu-west-1.amazonaws.com");
        assert!(matches!(
            item.protocol(),
            Protocol::Json {
                prefix: "DynamoDB_20120810",
                ..
            }
        ));
        let queue = address("sqs:path/123456789012/orders");
        assert_eq!(queue.call, Call::Path("123456789012/orders".into()));
        assert_eq!(
            address("s3:path//{bucket}/{key}").call,
            Call::Path("{bucket}/{key}".into())
        );
    }

    #[test]
    fn a_subdomain_is_a_host_at_aws_and_a_path_at_an_endpoint() {
        let object = address("my.bucket.s3:path/{key}");

        assert_eq!(object.service, "s3");
        assert_eq!(
            object.base(None),
            "https://my.bucket.s3.eu-west-1.amazonaws.com"
        );
        assert_eq!(
            object.base(Some("http://127.0.0.1:5000/")),
            "http://127.0.0.1:5000/my.bucket"
        );
    }

    #[test]
    fn names_follow_the_services_own_habits() {
        assert_eq!(address("states:action/StartExecution").service_id(), "SFN");
        assert_eq!(
            address("events:action/PutEvents").service_id(),
            "EVENTBRIDGE"
        );
        assert_eq!(
            address("cognito-idp:action/ListUsers").service_id(),
            "COGNITO_IDENTITY_PROVIDER"
        );
        assert_eq!(address("dynamodb:action/Scan").service_id(), "DYNAMODB");
        assert_eq!(
            address("states:action/StartSyncExecution").base(None),
            "https://sync-states.eu-west-1.amazonaws.com"
        );
        assert_eq!(address("email:action/SendEmail").signing_name(), "ses");
    }

    #[test]
    fn what_is_no_service_is_refused() {
        for uri in [
            "",
            "arn:aws:dynamodb:us-east-1:1:table/x",
            "arn:aws:apigateway:us-east-1:dynamodb",
            "arn:aws:apigateway:us-east-1:dynamodb:table/x",
            "arn:aws:apigateway::dynamodb:action/Scan",
            "arn:aws:apigateway:us-east-1:evil.com/x.s3:path/k",
            "arn:aws:apigateway:us-east-1:dynamodb:action/",
        ] {
            assert!(Address::parse(uri).is_err(), "{uri}");
        }
    }
}
