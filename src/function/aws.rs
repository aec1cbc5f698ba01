//! The real Lambda, with the developer's own credentials.
//!
//! No connection leaves the machine before a request asks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::Region;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvokeWithResponseStreamResponseEvent as Event;
use bytes::Bytes;

use super::aws_config::AwsConfig;
use super::streaming::Sink;
use super::{Invocation, InvocationType, InvokeError, Outcome};
use crate::base::FunctionArn;

/// Lambda's Invoke API through the AWS SDK.
#[derive(Debug)]
pub struct AwsLambda {
    config: Arc<AwsConfig>,
    // One client a region: a function's ARN says where it lives.
    clients: Mutex<HashMap<String, Client>>,
}

impl AwsLambda {
    /// Loads nothing yet.
    pub fn new(config: Arc<AwsConfig>) -> Self {
        Self {
            config,
            clients: Mutex::new(HashMap::new()),
        }
    }

    /// Calls a function.
    ///
    /// # Errors
    ///
    /// What Lambda said, that there are no credentials, or that it cannot be reached.
    pub async fn invoke(
        &self,
        arn: &FunctionArn,
        invocation: Invocation,
    ) -> Result<Outcome, InvokeError> {
        let client = self.client(arn).await;
        let mut call = client
            .invoke()
            .function_name(self.name(arn))
            .set_qualifier(invocation.qualifier)
            .invocation_type(invocation_type(invocation.invocation_type))
            .payload(Blob::new(invocation.payload))
            .set_client_context(invocation.client_context)
            .customize();
        if let Some(trace_id) = invocation.trace_id {
            call = call.mutate_request(move |request| {
                request
                    .headers_mut()
                    .insert("x-amzn-trace-id", trace_id.clone());
            });
        }
        match call.send().await {
            Ok(output) => Ok(Outcome {
                status: u16::try_from(output.status_code).unwrap_or(200),
                payload: output
                    .payload
                    .map(Blob::into_inner)
                    .unwrap_or_default()
                    .into(),
                function_error: output.function_error,
                time: None,
            }),
            Err(error) => Err(self.invoke_error(&arn.name, error)),
        }
    }

    /// Calls a function and sends its result on in pieces.
    ///
    /// # Errors
    ///
    /// As for [`Self::invoke`]; a failure in the midst is an [`Outcome`] with `function_error`.
    pub(super) async fn invoke_streaming(
        &self,
        arn: &FunctionArn,
        invocation: Invocation,
        sink: Sink,
    ) -> Result<Outcome, InvokeError> {
        let client = self.client(arn).await;
        let mut call = client
            .invoke_with_response_stream()
            .function_name(self.name(arn))
            .set_qualifier(invocation.qualifier)
            .payload(Blob::new(invocation.payload))
            .set_client_context(invocation.client_context)
            .customize();
        if let Some(trace_id) = invocation.trace_id {
            call = call.mutate_request(move |request| {
                request
                    .headers_mut()
                    .insert("x-amzn-trace-id", trace_id.clone());
            });
        }
        let output = call
            .send()
            .await
            .map_err(|error| self.invoke_error(&arn.name, error))?;
        if let Some(kind) = &output.response_stream_content_type {
            sink.begin(kind);
        }
        let mut events = output.event_stream;
        let mut outcome = Outcome {
            status: 200,
            payload: Bytes::new(),
            function_error: None,
            time: None,
        };
        loop {
            match events.recv().await {
                Ok(Some(Event::PayloadChunk(chunk))) => {
                    let piece = chunk.payload.map(Blob::into_inner).unwrap_or_default();
                    if !piece.is_empty() {
                        sink.send(piece.into()).await;
                    }
                }
                Ok(Some(Event::InvokeComplete(end))) => {
                    if let Some(code) = end.error_code {
                        outcome.payload = end.error_details.unwrap_or_default().into();
                        outcome.function_error = Some(code);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(outcome),
                Err(error) => {
                    return Err(InvokeError::Unreachable {
                        name: arn.name.clone(),
                        detail: super::chain(&error),
                    });
                }
            }
        }
    }

    fn name(&self, arn: &FunctionArn) -> String {
        if arn.account.is_empty() {
            arn.name.clone()
        } else {
            arn.unqualified(&self.config.options().region, &arn.account)
        }
    }

    async fn client(&self, arn: &FunctionArn) -> Client {
        let config = self.config.load().await;
        let region = if arn.region.is_empty() {
            &self.config.options().region
        } else {
            &arn.region
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(region) {
            return client.clone();
        }
        let mut builder = aws_sdk_lambda::config::Builder::from(config)
            .region(Region::new(region.clone()))
            // API Gateway calls once: a retry would run the function twice.
            .retry_config(RetryConfig::disabled());
        if let Some(endpoint) = &self.config.options().endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        let client = Client::from_conf(builder.build());
        clients.insert(region.clone(), client.clone());
        client
    }

    fn invoke_error<E>(&self, name: &str, error: SdkError<E>) -> InvokeError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let detail = super::chain(&error);
        let name = name.to_owned();
        match &error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or_default();
                let message = service.err().message().unwrap_or_default().to_owned();
                super::service_error(&name, status, code, message)
            }
            // Credentials are asked for before anything is sent.
            _ if detail.contains("redentials") => InvokeError::NoCredentials { name, detail },
            _ => InvokeError::Unreachable { name, detail },
        }
    }
}

fn invocation_type(own: InvocationType) -> aws_sdk_lambda::types::InvocationType {
    match own {
        InvocationType::RequestResponse => aws_sdk_lambda::types::InvocationType::RequestResponse,
        InvocationType::Event => aws_sdk_lambda::types::InvocationType::Event,
        InvocationType::DryRun => aws_sdk_lambda::types::InvocationType::DryRun,
    }
}
