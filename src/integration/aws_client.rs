//! Signed requests to AWS services, on behalf of a route.
//!
//! What is asked of a service is the caller's business (`aws_service` of an
//! HTTP API, `aws` of a REST API); this file finds the endpoint, the
//! credentials and the signature, and sends once: a retry could do twice what
//! the client asked for once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_types::region::Region;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use tokio::sync::Mutex;

use super::IntegrationError;
use super::bounded_body::{PAYLOAD_LIMIT, read_whole};
use super::client::{HttpClient, Trust};
use crate::base::{Body, Clock};
use crate::function::aws_config::{AwsConfig, EndpointOverride};
use crate::function::signature::sign;

/// Credentials of a role are taken anew this long before they expire.
const BEFORE_EXPIRY: Duration = Duration::from_secs(300);
/// What IAM's logs call the session of a role that the gateway assumed.
const SESSION_NAME: &str = "tollgate";
/// `credentials` that pass the caller's own identity on.
const CALLERS_IDENTITY: &str = "arn:aws:iam::*:user/*";

/// A service as endpoints, signatures and settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsService {
    /// First label of its host name, `events`.
    pub endpoint_prefix: Cow<'static, str>,
    /// Its name in a signature, mostly the same.
    pub signing_name: Cow<'static, str>,
    /// Its id in the AWS SDKs, `EventBridge`: the environment variable is `AWS_ENDPOINT_URL_EVENTBRIDGE`.
    pub service_id: Cow<'static, str>,
}

/// Services whose three names are not one: endpoint prefix, signing name, service id.
///
/// Source: the service models of the AWS SDKs.
const SERVICES: [(&str, &str, &str); 30] = [
    ("appconfig", "appconfig", "AppConfig"),
    ("appconfigdata", "appconfig", "AppConfigData"),
    ("athena", "athena", "Athena"),
    ("batch", "batch", "Batch"),
    ("bedrock-runtime", "bedrock", "Bedrock Runtime"),
    ("cloudformation", "cloudformation", "CloudFormation"),
    ("cognito-idp", "cognito-idp", "Cognito Identity Provider"),
    ("comprehend", "comprehend", "Comprehend"),
    ("dynamodb", "dynamodb", "DynamoDB"),
    ("ec2", "ec2", "EC2"),
    ("ecs", "ecs", "ECS"),
    ("email", "ses", "SES"),
    ("events", "events", "EventBridge"),
    ("firehose", "firehose", "Firehose"),
    ("iam", "iam", "IAM"),
    ("iot", "iot", "IoT"),
    ("kinesis", "kinesis", "Kinesis"),
    ("kms", "kms", "KMS"),
    ("lambda", "lambda", "Lambda"),
    ("logs", "logs", "CloudWatch Logs"),
    ("monitoring", "monitoring", "CloudWatch"),
    ("s3", "s3", "S3"),
    ("secretsmanager", "secretsmanager", "Secrets Manager"),
    ("sns", "sns", "SNS"),
    ("sqs", "sqs", "SQS"),
    ("ssm", "ssm", "SSM"),
    ("states", "states", "SFN"),
    ("streams.dynamodb", "dynamodb", "DynamoDB Streams"),
    ("sts", "sts", "STS"),
    ("sync-states", "states", "SFN"),
];

impl AwsService {
    /// A service by its endpoint prefix, which is also what stands in an
    /// integration's uri: `arn:aws:apigateway:REGION:PREFIX:action/NAME`.
    ///
    /// One that is not known is taken to have one name for everything.
    pub fn by_prefix(prefix: &str) -> Self {
        match SERVICES.iter().find(|(known, ..)| *known == prefix) {
            Some((prefix, signing_name, service_id)) => Self {
                endpoint_prefix: Cow::Borrowed(prefix),
                signing_name: Cow::Borrowed(signing_name),
                service_id: Cow::Borrowed(service_id),
            },
            None => Self {
                endpoint_prefix: Cow::Owned(prefix.to_owned()),
                signing_name: Cow::Owned(prefix.to_owned()),
                service_id: Cow::Owned(prefix.to_owned()),
            },
        }
    }

    /// Where the service is at AWS.
    fn endpoint(&self, region: &str) -> String {
        let prefix = &self.endpoint_prefix;
        let suffix = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        match prefix.as_ref() {
            // A global service has one endpoint.
            "iam" => format!("https://iam.{suffix}"),
            prefix => format!("https://{prefix}.{region}.{suffix}"),
        }
    }

    /// The region in the signature.
    fn signing_region<'r>(&self, region: &'r str) -> &'r str {
        match self.endpoint_prefix.as_ref() {
            "iam" => "us-east-1",
            _ => region,
        }
    }
}

/// One request to a service.
#[derive(Clone, Debug)]
pub struct AwsCall<'c> {
    /// The service.
    pub service: &'c AwsService,
    /// A label before the endpoint's host name (`BUCKET.s3`); only at AWS itself.
    pub subdomain: Option<&'c str>,
    /// The region; `None` is the gateway's own.
    pub region: Option<&'c str>,
    /// The method.
    pub method: Method,
    /// The path, percent-encoded, `/` at least.
    pub path: &'c str,
    /// The query, percent-encoded, without `?`.
    pub query: &'c str,
    /// Headers; all of them are signed but those that proxies change. `Host` is the client's own business.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// `credentials` of the integration: the role that is assumed.
    pub role: Option<&'c str>,
    /// How long the answer is waited for, credentials included.
    pub timeout: Duration,
}

/// Sends signed requests. Cheap to clone; clones share connections and the
/// credentials of assumed roles.
#[derive(Clone)]
pub struct AwsClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<AwsConfig>,
    http: HttpClient,
    // Asynchronous, so that requests that come together assume a role once.
    roles: Mutex<HashMap<String, Credentials>>,
}

impl fmt::Debug for AwsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsClient")
    }
}

impl AwsClient {
    /// Loads and connects nothing yet.
    pub fn new(config: Arc<AwsConfig>, http: HttpClient) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                http,
                roles: Mutex::default(),
            }),
        }
    }

    /// Sends a request and reads its whole answer; any status is an answer.
    ///
    /// The endpoint is that of `AWS_ENDPOINT_URL_<SERVICE>` or
    /// `AWS_ENDPOINT_URL` (environment or profile), else AWS's own. The
    /// credentials are the developer's, or those of the role. Where only this
    /// service was given an endpoint and STS was not, the role is *not*
    /// assumed: the service is an emulator then, and the call that signs for it
    /// must not go to AWS.
    ///
    /// # Errors
    ///
    /// [`IntegrationError::Timeout`]; [`IntegrationError::Network`] when the
    /// service cannot be reached; [`IntegrationError::Configuration`] when there
    /// are no credentials, the role may not be assumed, or the request cannot be
    /// built; [`IntegrationError::AnswerTooLarge`] over 10 MB.
    pub async fn send(&self, call: AwsCall<'_>) -> Result<Response<Bytes>, IntegrationError> {
        let timeout = call.timeout;
        tokio::time::timeout(timeout, self.send_untimed(call))
            .await
            .unwrap_or(Err(IntegrationError::Timeout(timeout)))
    }

    async fn send_untimed(&self, call: AwsCall<'_>) -> Result<Response<Bytes>, IntegrationError> {
        let config = &self.inner.config;
        let region = call.region.unwrap_or(&config.options().region);
        let other = config.endpoint(&call.service.service_id).await;
        let endpoint = match (&other, call.subdomain) {
            // An emulator has one host; a bucket stands in the path there.
            (Some(other), Some(bucket)) if call.service.endpoint_prefix == "s3" => {
                format!("{}/{bucket}", other.url().trim_end_matches('/'))
            }
            (Some(other), _) => other.url().trim_end_matches('/').to_owned(),
            (None, None) => call.service.endpoint(region),
            (None, Some(subdomain)) => call.service.endpoint(region).replacen(
                "https://",
                &format!("https://{subdomain}."),
                1,
            ),
        };
        let address = match call.query {
            "" => format!("{endpoint}{}", call.path),
            query => format!("{endpoint}{}?{query}", call.path),
        };
        let uri: Uri = address.parse().map_err(|error| {
            IntegrationError::Configuration(format!("`{address}` is no address: {error}"))
        })?;
        // Boxed: it has 14 KB, and is rarely more than a look.
        let credentials = Box::pin(self.credentials(call.role, other.as_ref())).await?;
        let mut request = Request::new(call.body);
        *request.method_mut() = call.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = call.headers;
        sign(
            &mut request,
            &call.service.signing_name,
            call.service.signing_region(region),
            credentials,
        )
        .map_err(|error| IntegrationError::Configuration(error.to_string()))?;
        let answer = self
            .inner
            .http
            .send(request.map(Body::from), Trust::Host)
            .await
            .map_err(IntegrationError::Network)?;
        let (parts, body) = answer.into_parts();
        let body = read_whole(body, PAYLOAD_LIMIT).await.map_err(|error| {
            use super::bounded_body::BoundError;
            match error.downcast_ref::<BoundError>() {
                Some(BoundError::TooLarge(bytes)) => {
                    IntegrationError::AnswerTooLarge(*bytes as u64)
                }
                _ => IntegrationError::BrokenAnswer(error.to_string()),
            }
        })?;
        Ok(Response::from_parts(parts, body))
    }

    async fn credentials(
        &self,
        role: Option<&str>,
        endpoint: Option<&EndpointOverride>,
    ) -> Result<Credentials, IntegrationError> {
        let config = self.inner.config.load().await;
        let emulated = matches!(endpoint, Some(EndpointOverride::Service(_)))
            && self.inner.config.endpoint("STS").await.is_none();
        let role = role.filter(|role| *role != CALLERS_IDENTITY && !emulated);
        let Some(role) = role else {
            return self
                .inner
                .config
                .credentials()
                .await
                .map_err(|error| no_credentials(&error));
        };
        let mut roles = self.inner.roles.lock().await;
        let usable = |credentials: &Credentials| {
            credentials
                .expiry()
                .is_none_or(|expiry| expiry > now() + BEFORE_EXPIRY)
        };
        if let Some(credentials) = roles.get(role).filter(|credentials| usable(credentials)) {
            return Ok(credentials.clone());
        }
        let provider = AssumeRoleProvider::builder(role)
            .session_name(SESSION_NAME)
            .region(Region::new(self.inner.config.options().region.clone()))
            .configure(config)
            .build()
            .await;
        let credentials = provider.provide_credentials().await.map_err(|error| {
            IntegrationError::Configuration(format!(
                "the role {role} cannot be assumed: {}",
                crate::function::chain(&error)
            ))
        })?;
        roles.insert(role.to_owned(), credentials.clone());
        Ok(credentials)
    }
}

/// The time of signatures: a service refuses one that is minutes off.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Clock::System.since_epoch()
}

fn no_credentials(error: &dyn std::error::Error) -> IntegrationError {
    IntegrationError::Configuration(format!(
        "no AWS credentials to call the service with ({}); sign in with `aws sso login` and start with --profile, \
         or set AWS_ENDPOINT_URL and any AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for a local emulator",
        crate::function::chain(error)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_its_endpoint_prefix() {
        let states = AwsService::by_prefix("sync-states");
        let other = AwsService::by_prefix("rekognition");

        assert_eq!(
            (states.signing_name.as_ref(), states.service_id.as_ref()),
            ("states", "SFN")
        );
        assert_eq!(
            states.endpoint("eu-west-1"),
            "https://sync-states.eu-west-1.amazonaws.com"
        );
        assert_eq!(other.signing_name, "rekognition");
        assert_eq!(
            other.endpoint("cn-north-1"),
            "https://rekognition.cn-north-1.amazonaws.com.cn"
        );
    }
}
