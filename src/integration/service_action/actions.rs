//! The ten actions and how each service wants to be told of them.
//!
//! Source: the API references of the services. SQS is spoken to in its query
//! protocol, because HTTP APIs answer with its XML.

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json, json};

use super::super::aws_client::AwsService;

/// All but the unreserved characters of RFC 3986.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `integrationSubtype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `EventBridge-PutEvents`.
    EventBridgePutEvents,
    /// `SQS-SendMessage`.
    SqsSendMessage,
    /// `SQS-ReceiveMessage`.
    SqsReceiveMessage,
    /// `SQS-DeleteMessage`.
    SqsDeleteMessage,
    /// `SQS-PurgeQueue`.
    SqsPurgeQueue,
    /// `AppConfig-GetConfiguration`.
    AppConfigGetConfiguration,
    /// `Kinesis-PutRecord`.
    KinesisPutRecord,
    /// `StepFunctions-StartExecution`.
    StepFunctionsStartExecution,
    /// `StepFunctions-StartSyncExecution`.
    StepFunctionsStartSyncExecution,
    /// `StepFunctions-StopExecution`.
    StepFunctionsStopExecution,
}

/// A request in a service's protocol, not signed yet.
#[derive(Clone, Debug)]
pub struct Message {
    /// The method.
    pub method: Method,
    /// The path, encoded.
    pub path: String,
    /// The query, encoded.
    pub query: String,
    /// Content type and target.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

/// A request's values by the parameter's name.
pub type Parameters<'p> = IndexMap<&'p str, String>;

impl Action {
    /// Reads an `integrationSubtype`; `None` if AWS has none of that name.
    pub fn parse(subtype: &str) -> Option<Self> {
        Some(match subtype {
            "EventBridge-PutEvents" => Self::EventBridgePutEvents,
            "SQS-SendMessage" => Self::SqsSendMessage,
            "SQS-ReceiveMessage" => Self::SqsReceiveMessage,
            "SQS-DeleteMessage" => Self::SqsDeleteMessage,
            "SQS-PurgeQueue" => Self::SqsPurgeQueue,
            "AppConfig-GetConfiguration" => Self::AppConfigGetConfiguration,
            "Kinesis-PutRecord" => Self::KinesisPutRecord,
            "StepFunctions-StartExecution" => Self::StepFunctionsStartExecution,
            "StepFunctions-StartSyncExecution" => Self::StepFunctionsStartSyncExecution,
            "StepFunctions-StopExecution" => Self::StepFunctionsStopExecution,
            _ => return None,
        })
    }

    /// The service that is called.
    pub fn service(self) -> AwsService {
        AwsService::by_prefix(match self {
            Self::EventBridgePutEvents => "events",
            Self::SqsSendMessage
            | Self::SqsReceiveMessage
            | Self::SqsDeleteMessage
            | Self::SqsPurgeQueue => "sqs",
            Self::AppConfigGetConfiguration => "appconfig",
            Self::KinesisPutRecord => "kinesis",
            Self::StepFunctionsStartExecution | Self::StepFunctionsStopExecution => "states",
            // Synchronous executions have a host name of their own.
            Self::StepFunctionsStartSyncExecution => "sync-states",
        })
    }

    /// The request with these parameters.
    ///
    /// # Errors
    ///
    /// What is wrong with a value that has to be JSON.
    pub fn message(self, parameters: &Parameters<'_>) -> Result<Message, String> {
        Ok(match self {
            Self::EventBridgePutEvents => json_message(
                "1.1",
                "AWSEvents.PutEvents",
                &json!({"Entries": [entry(parameters)]}),
            ),
            Self::SqsSendMessage => sqs("SendMessage", parameters)?,
            Self::SqsReceiveMessage => sqs("ReceiveMessage", parameters)?,
            Self::SqsDeleteMessage => sqs("DeleteMessage", parameters)?,
            Self::SqsPurgeQueue => sqs("PurgeQueue", parameters)?,
            Self::AppConfigGetConfiguration => configuration(parameters),
            Self::KinesisPutRecord => {
                json_message("1.1", "Kinesis_20131202.PutRecord", &texts(parameters, &[]))
            }
            Self::StepFunctionsStartExecution => states("StartExecution", parameters),
            Self::StepFunctionsStartSyncExecution => states("StartSyncExecution", parameters),
            Self::StepFunctionsStopExecution => states("StopExecution", parameters),
        })
    }
}

fn json_message(version: &str, target: &str, body: &Json) -> Message {
    let mut headers = HeaderMap::with_capacity(2);
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, &format!("application/x-amz-json-{version}"));
    set(HeaderName::from_static("x-amz-target"), target);
    Message {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers,
        body: body.to_string(),
    }
}

/// The parameters as an object of texts; `renamed` has other names.
fn texts(parameters: &Parameters<'_>, renamed: &[(&str, &str)]) -> Json {
    let name_of = |name: &str| {
        let other = renamed.iter().find(|(own, _)| *own == name);
        other.map_or(name, |(_, other)| other).to_owned()
    };
    let members: Map<String, Json> = parameters
        .iter()
        .map(|(name, value)| (name_of(name), Json::from(value.as_str())))
        .collect();
    Json::Object(members)
}

fn states(action: &str, parameters: &Parameters<'_>) -> Message {
    let renamed = [
        ("StateMachineArn", "stateMachineArn"),
        ("ExecutionArn", "executionArn"),
        ("Name", "name"),
        ("Input", "input"),
        ("TraceHeader", "traceHeader"),
        ("Cause", "cause"),
        ("Error", "error"),
    ];
    json_message(
        "1.0",
        &format!("AWSStepFunctions.{action}"),
        &texts(parameters, &renamed),
    )
}

/// The one entry of `PutEvents`.
fn entry(parameters: &Parameters<'_>) -> Json {
    let mut entry = Map::new();
    for (name, value) in parameters {
        let value = match *name {
            "Resources" => Json::from(list(value)),
            "Time" => time(value),
            _ => Json::from(value.as_str()),
        };
        entry.insert((*name).to_owned(), value);
    }
    Json::Object(entry)
}

/// A time as the JSON protocol wants it, seconds since 1970. What is none goes
/// as it is: the service says what is wrong with it.
fn time(text: &str) -> Json {
    if let Ok(seconds) = text.parse::<serde_json::Number>() {
        return Json::Number(seconds);
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Json::from(time.as_second()),
        Err(_) => Json::from(text),
    }
}

/// A list written as JSON, or with commas.
fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| {
        text.split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect()
    })
}

/// Amazon SQS API reference, "Making Query API requests".
fn sqs(action: &str, parameters: &Parameters<'_>) -> Result<Message, String> {
    let mut form = Form::default();
    form.add("Action", action);
    form.add("Version", "2012-11-05");
    for (name, value) in parameters {
        match *name {
            "AttributeNames" => form.add_list("AttributeName", value),
            "MessageAttributeNames" => form.add_list("MessageAttributeName", value),
            "MessageAttributes" => form.add_attributes("MessageAttribute", value)?,
            "MessageSystemAttributes" => form.add_attributes("MessageSystemAttribute", value)?,
            name => form.add(name, value),
        }
    }
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    Ok(Message {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers,
        body: form.0,
    })
}

#[derive(Default)]
struct Form(String);

impl Form {
    fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, STRICT));
    }

    fn add_list(&mut self, name: &str, value: &str) {
        for (index, item) in list(value).iter().enumerate() {
            self.add(&format!("{name}.{}", index + 1), item);
        }
    }

    /// `{"NAME": {"DataType": "String", "StringValue": "x"}}`.
    fn add_attributes(&mut self, prefix: &str, value: &str) -> Result<(), String> {
        let attributes: Map<String, Json> = serde_json::from_str(value)
            .map_err(|error| format!("`{prefix}s` is no JSON object: {error}"))?;
        for (index, (name, attribute)) in attributes.iter().enumerate() {
            let prefix = format!("{prefix}.{}", index + 1);
            let members = attribute
                .as_object()
                .ok_or_else(|| format!("the message attribute `{name}` is no JSON object"))?;
            self.add(&format!("{prefix}.Name"), name);
            for (member, value) in members {
                let value = match value {
                    Json::String(text) => text.clone(),
                    other => other.to_string(),
                };
                self.add(&format!("{prefix}.Value.{member}"), &value);
            }
        }
        Ok(())
    }
}

/// AWS AppConfig API reference, "GetConfiguration".
fn configuration(parameters: &Parameters<'_>) -> Message {
    let value = |name: &str| {
        let value = parameters.get(name).map_or("", String::as_str);
        utf8_percent_encode(value, STRICT).to_string()
    };
    let mut query = format!("client_id={}", value("ClientId"));
    if parameters.contains_key("ClientConfigurationVersion") {
        query.push_str("&client_configuration_version=");
        query.push_str(&value("ClientConfigurationVersion"));
    }
    Message {
        method: Method::GET,
        path: format!(
            "/applications/{}/environments/{}/configurations/{}",
            value("Application"),
            value("Environment"),
            value("Configuration")
        ),
        query,
        headers: HeaderMap::new(),
        body: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subtype: &str, parameters: &[(&'static str, &str)]) -> Message {
        let parameters = parameters
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Action::parse(subtype)
            .unwrap()
            .message(&parameters)
            .unwrap()
    }

    #[test]
    fn an_event_keeps_its_detail_as_text_and_its_lists_as_lists() {
        let message = message(
            "EventBridge-PutEvents",
            &[
                ("Detail", r#"{"a":1}"#),
                ("DetailType", "t"),
                ("Source", "s"),
                ("Time", "2020-01-01T00:00:00Z"),
                ("Resources", "arn:a, arn:b"),
            ],
        );

        assert_eq!(message.headers["x-amz-target"], "AWSEvents.PutEvents");
        assert_eq!(
            serde_json::from_str::<Json>(&message.body).unwrap(),
            json!({"Entries": [{"Detail": "{\"a\":1}", "DetailType": "t", "Source": "s", "Time": 1_577_836_800,
                "Resources": ["arn:a", "arn:b"]}]})
        );
    }

    #[test]
    fn a_message_with_attributes_is_a_form() {
        let message = message(
            "SQS-SendMessage",
            &[
                ("QueueUrl", "http://h/1/q"),
                ("MessageBody", "a b&c"),
                (
                    "MessageAttributes",
                    r#"{"k": {"DataType": "String", "StringValue": "v+"}}"#,
                ),
            ],
        );

        assert_eq!(
            message.body,
            "Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Fh%2F1%2Fq&MessageBody=a%20b%26c\
             &MessageAttribute.1.Name=k&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=v%2B"
        );
    }

    #[test]
    fn a_value_cannot_leave_its_place_in_a_path() {
        let message = message(
            "AppConfig-GetConfiguration",
            &[
                ("Application", "../x"),
                ("Environment", "e?a"),
                ("Configuration", "c"),
                ("ClientId", "i&j"),
            ],
        );

        assert_eq!(
            message.path,
            "/applications/..%2Fx/environments/e%3Fa/configurations/c"
        );
        assert_eq!(message.query, "client_id=i%26j");
    }

    #[test]
    fn attributes_that_are_no_object_are_refused() {
        let parameters = [("MessageAttributes", "[]".to_owned())]
            .into_iter()
            .collect();

        assert!(Action::SqsSendMessage.message(&parameters).is_err());
    }
}
