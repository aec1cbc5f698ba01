//! Where an `aws` integration's `uri` leads: service, host, protocol, action.
//!
//! Source: API Gateway developer guide, "x-amazon-apigateway-integration object"
//! and "Integrate AWS services"; what each service wants, its API reference.

use crate::integration::aws_client::AwsService;

/// A parsed `arn:aws:apigateway:REGION:SERVICE:path/…` or `…:action/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Region that is called and signed for.
    pub region: String,
    /// The service's name in its host: `dynamodb`, `states`.
    pub service: String,
    /// What stands before the service: `bucket` of `bucket.s3`.
    pub subdomain: Option<String>,
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
        let (arn, _partition, api, region, target, call) =
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

    /// The service as the client knows it.
    pub fn aws_service(&self) -> AwsService {
        AwsService::by_prefix(match &self.call {
            // Synchronous executions have a host of their own.
            Call::Action { name, .. }
                if self.service == "states" && name == "StartSyncExecution" =>
            {
                "sync-states"
            }
            _ => &self.service,
        })
    }

    /// The path with its placeholders, and the query that it may have, without its first slash.
    pub fn path(&self) -> &str {
        match &self.call {
            Call::Path(path) => path,
            Call::Action { .. } => "",
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
    fn a_subdomain_stands_before_the_service() {
        let object = address("my.bucket.s3:path/{key}");

        assert_eq!(object.service, "s3");
        assert_eq!(object.subdomain.as_deref(), Some("my.bucket"));
        assert_eq!(
            address("streams.dynamodb:action/ListStreams").subdomain,
            None
        );
    }

    #[test]
    fn names_follow_the_services_own_habits() {
        let names = |rest| {
            let service = address(rest).aws_service();
            (
                service.endpoint_prefix.to_string(),
                service.signing_name.to_string(),
                service.service_id.to_string(),
            )
        };
        let expected = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());

        assert_eq!(
            names("states:action/StartSyncExecution"),
            expected("sync-states", "states", "SFN")
        );
        assert_eq!(
            names("states:action/StartExecution"),
            expected("states", "states", "SFN")
        );
        assert_eq!(
            names("streams.dynamodb:action/ListStreams"),
            expected("streams.dynamodb", "dynamodb", "DynamoDB Streams")
        );
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
