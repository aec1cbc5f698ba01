//! A route's `x-amazon-apigateway-integration`, compiled.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use indexmap::IndexMap;

use super::compile::{Compiler, default_timeout};
use crate::base::FunctionArn;
use crate::event::ApiFacts;
use crate::event::http::PayloadFormat;
use crate::function::FunctionRef;
use crate::integration::Integration;
use crate::integration::handler::HandlerIntegration;
use crate::integration::http_custom::HttpCustom;
use crate::integration::http_mapping;
use crate::integration::http_proxy::http::AddedToAddress;
use crate::integration::http_proxy::private::PrivateLink;
use crate::integration::http_proxy::{self, Connection};
use crate::integration::lambda_custom::LambdaCustom;
use crate::integration::lambda_proxy::{EventKind, LambdaProxy};
use crate::integration::mapping::RequestMapping;
use crate::integration::mock::Mock;
use crate::integration::request_side::RequestSide;
use crate::integration::response_side::{
    IntegrationResponse, Pattern, ResponseSide, ResponseSource,
};
use crate::integration::service_action::ServiceAction;
use crate::integration::service_action::actions::Action;
use crate::integration::service_custom::ServiceCustom;
use crate::integration::service_custom::address::Address;
use crate::integration::templates::Templates;
use crate::integration::uri::{UriTemplate, fill_stage_variables};
use crate::model::{
    Api, ApiKind, Integration as Model, IntegrationKind, IntegrationResponse as ModelResponse,
    Route, Spanned,
};
use crate::source::{Diagnostic, Diagnostics, Span};

/// Stands for an ARN's host, which is not known here.
const NO_HOST: &str = "http://vpc-link.invalid";

/// Compiles the integrations of one route.
pub(super) struct Compile<'c> {
    pub(super) api: &'c Api,
    pub(super) route: &'c Route,
    pub(super) facts: &'c ApiFacts,
    pub(super) compiler: &'c Compiler<'c>,
    pub(super) directory: &'c Path,
}

/// Why an integration does not work; it answers 500 then.
struct Fault {
    reason: String,
    span: Span,
}

impl Compile<'_> {
    /// Compiles an integration. What AWS would only find out at the first
    /// request is a warning, and that request gets AWS's 500.
    pub(super) fn integration(&self, model: &Model, diagnostics: &mut Diagnostics) -> Integration {
        let compiled = match local_handler(model) {
            Some(name) => self.handler(model, name),
            None => match model.kind {
                IntegrationKind::AwsProxy => match &model.subtype {
                    Some(subtype) => self.service_action(model, subtype),
                    None => self.lambda_proxy(model),
                },
                IntegrationKind::HttpProxy => self.http_proxy(model),
                IntegrationKind::Aws if self.is_service(model) => {
                    self.aws_service(model, diagnostics)
                }
                IntegrationKind::Aws => self.lambda_custom(model, diagnostics),
                IntegrationKind::Http => self.http_custom(model, diagnostics),
                IntegrationKind::Mock => self.mock(model, diagnostics),
            },
        };
        compiled.unwrap_or_else(|Fault { reason, span }| {
            let message = format!("every request of this route will get a 500: {reason}");
            diagnostics.push(Diagnostic::warning("W0905", message).at(span));
            Integration::Misconfigured { reason }
        })
    }

    fn timeout(&self, model: &Model) -> Duration {
        model
            .timeout
            .unwrap_or_else(|| default_timeout(self.api.kind))
    }

    fn uri<'m>(&self, model: &'m Model) -> Result<&'m Spanned<String>, Fault> {
        model.uri.as_ref().ok_or_else(|| Fault {
            reason: "the integration has no `uri`".into(),
            span: model.span,
        })
    }

    /// The uri with its stage variables.
    fn filled(&self, uri: &Spanned<String>) -> (String, Vec<String>) {
        fill_stage_variables(&uri.value, &self.facts.stage_variables)
    }

    fn handler(&self, model: &Model, name: &str) -> Result<Integration, Fault> {
        let span = model.uri.as_ref().map_or(model.span, |uri| uri.span);
        let handler = self
            .compiler
            .functions
            .handler(name, self.directory)
            .map_err(|reason| Fault { reason, span })?;
        let timeout = self.timeout(model);
        Ok(Integration::Handler(HandlerIntegration {
            name: name.to_owned(),
            handler,
            timeout,
        }))
    }

    /// The function behind the uri.
    fn function(&self, model: &Model) -> Result<FunctionRef, Fault> {
        let uri = self.uri(model)?;
        let (filled, missing) = self.filled(uri);
        let arn = FunctionArn::from_uri(&filled).ok_or_else(|| {
            let why = match missing.as_slice() {
                [] => format!("`{filled}` names no Lambda function"),
                missing => format!("the stage variable `{}` is not set", missing.join("`, `")),
            };
            Fault {
                reason: why,
                span: uri.span,
            }
        })?;
        if self.api.kind == ApiKind::Rest
            && let Some(method) = model
                .http_method
                .as_ref()
                .filter(|method| method.value != "POST")
        {
            // Recorded at AWS: 500, whatever the function would say.
            let reason = format!(
                "a Lambda function is called by POST, not by {}",
                method.value
            );
            return Err(Fault {
                reason,
                span: method.span,
            });
        }
        Ok(self.compiler.functions.resolve(&arn))
    }

    fn lambda_proxy(&self, model: &Model) -> Result<Integration, Fault> {
        let function = self.function(model)?;
        if let Some(handler) = function.handler() {
            let timeout = self.timeout(model);
            let name = function.name().to_owned();
            return Ok(Integration::Handler(HandlerIntegration {
                name,
                handler,
                timeout,
            }));
        }
        let event = match (
            self.api.kind,
            model
                .payload_format_version
                .as_ref()
                .map(|v| v.value.as_str()),
        ) {
            (ApiKind::Rest, _) => EventKind::Rest,
            (ApiKind::Http, Some("1.0" | "1")) => EventKind::Http(PayloadFormat::V1),
            (ApiKind::Http, _) => EventKind::Http(PayloadFormat::V2),
        };
        Ok(Integration::LambdaProxy(LambdaProxy {
            event,
            timeout: function.patience(self.timeout(model)),
            function,
            stream: model.stream && self.api.kind == ApiKind::Rest,
            mapping: self.http_request_mapping(model)?,
            response_mapping: self.http_response_mapping(model)?,
        }))
    }

    fn service_action(
        &self,
        model: &Model,
        subtype: &Spanned<String>,
    ) -> Result<Integration, Fault> {
        let action = Action::parse(&subtype.value).ok_or_else(|| Fault {
            reason: format!("`{}` is no service action", subtype.value),
            span: subtype.span,
        })?;
        let mut parameters = IndexMap::new();
        for (name, source) in &model.request_parameters {
            let value = http_mapping::Value::parse(&source.value, http_mapping::Side::Request)
                .map_err(|error| Fault {
                    reason: error.to_string(),
                    span: source.span,
                })?;
            parameters.insert(name.clone(), value);
        }
        let region = parameters.shift_remove("Region");
        Ok(Integration::ServiceAction(Box::new(ServiceAction {
            client: self.compiler.aws.clone(),
            action,
            parameters,
            region,
            role: model.credentials.as_ref().map(|role| self.filled(role).0),
            timeout: self.timeout(model),
            response_mapping: self.http_response_mapping(model)?,
        })))
    }

    fn lambda_custom(
        &self,
        model: &Model,
        diagnostics: &mut Diagnostics,
    ) -> Result<Integration, Fault> {
        let function = self.function(model)?;
        Ok(Integration::LambdaCustom(LambdaCustom {
            timeout: function.patience(self.timeout(model)),
            function,
            request: self.request_side(model, diagnostics)?,
            response: self.response_side(model, diagnostics),
        }))
    }

    /// Whether an `aws` integration calls another service than Lambda's Invoke.
    fn is_service(&self, model: &Model) -> bool {
        let Some(uri) = &model.uri else { return false };
        let (filled, _) = self.filled(uri);
        let service = filled.split(':').nth(4);
        let invokes = filled.contains("/functions/") && filled.ends_with("/invocations");
        filled.contains(":apigateway:") && !(service == Some("lambda") && invokes)
    }

    fn aws_service(
        &self,
        model: &Model,
        diagnostics: &mut Diagnostics,
    ) -> Result<Integration, Fault> {
        let uri = self.uri(model)?;
        let (filled, missing) = self.filled(uri);
        let fault = |reason: String| Fault {
            reason: match missing.as_slice() {
                [] => reason,
                missing => format!(
                    "{reason}: the stage variable `{}` is not set",
                    missing.join("`, `")
                ),
            },
            span: uri.span,
        };
        let address = Address::parse(&filled).map_err(fault)?;
        // Only path and query are taken of it; the host is found when it is called.
        let text = format!("http://{}/{}", address.service, address.path());
        let parsed = UriTemplate::parse(&text).map_err(|error| Fault {
            reason: error.to_string(),
            span: uri.span,
        })?;
        let role = model.credentials.as_ref().and_then(|credentials| {
            let (filled, _) = self.filled(credentials);
            (!filled.is_empty()).then_some(filled)
        });
        if model.credentials.is_none() {
            let message = "AWS wants `credentials` for a service: the role that API Gateway assumes; here your own credentials sign";
            diagnostics.push(Diagnostic::warning("W0912", message).at(model.span));
        }
        Ok(Integration::ServiceCustom(Box::new(ServiceCustom {
            client: self.compiler.aws.clone(),
            service: address.aws_service(),
            address,
            uri: parsed,
            method: self.method(model)?,
            role,
            timeout: self.timeout(model),
            request: self.request_side(model, diagnostics)?,
            response: self.response_side(model, diagnostics),
        })))
    }

    fn http_custom(
        &self,
        model: &Model,
        diagnostics: &mut Diagnostics,
    ) -> Result<Integration, Fault> {
        let (uri, _) = self.http_uri(model)?;
        Ok(Integration::HttpCustom(HttpCustom {
            connection: self.connection(model)?,
            uri,
            method: self.method(model)?,
            request: self.request_side(model, diagnostics)?,
            response: self.response_side(model, diagnostics),
        }))
    }

    fn mock(&self, model: &Model, diagnostics: &mut Diagnostics) -> Result<Integration, Fault> {
        Ok(Integration::Mock(Mock {
            first: std::sync::OnceLock::new(),
            request: self.request_side(model, diagnostics)?,
            response: self.response_side(model, diagnostics),
        }))
    }

    fn mapping(&self, model: &Model) -> Result<RequestMapping, Fault> {
        let mut mapping = RequestMapping::default();
        for (target, source) in &model.request_parameters {
            mapping.add(target, &source.value).map_err(|error| Fault {
                reason: error.to_string(),
                span: source.span,
            })?;
        }
        Ok(mapping)
    }

    /// `requestParameters` of an HTTP API; nothing for a REST API, whose proxies to
    /// Lambda know none.
    fn http_request_mapping(&self, model: &Model) -> Result<http_mapping::RequestMapping, Fault> {
        let mut mapping = http_mapping::RequestMapping::default();
        if self.api.kind == ApiKind::Rest {
            return Ok(mapping);
        }
        for (target, source) in &model.request_parameters {
            mapping.add(target, &source.value).map_err(|error| Fault {
                reason: error.to_string(),
                span: source.span,
            })?;
        }
        Ok(mapping)
    }

    fn http_response_mapping(&self, model: &Model) -> Result<http_mapping::ResponseMapping, Fault> {
        let mut mapping = http_mapping::ResponseMapping::default();
        for (status, entries) in &model.response_parameters {
            for (target, source) in entries {
                mapping
                    .add(status, target, &source.value)
                    .map_err(|error| Fault {
                        reason: error.to_string(),
                        span: source.span,
                    })?;
            }
        }
        Ok(mapping)
    }

    fn request_side(
        &self,
        model: &Model,
        diagnostics: &mut Diagnostics,
    ) -> Result<RequestSide, Fault> {
        Ok(RequestSide {
            mapping: self.mapping(model)?,
            templates: compile_templates(&model.request_templates, diagnostics),
            passthrough: model.passthrough_behavior,
            content_handling: model.content_handling,
        })
    }

    fn response_side(&self, model: &Model, diagnostics: &mut Diagnostics) -> ResponseSide {
        let responses = model
            .responses
            .iter()
            .filter_map(|response| self.response(response, diagnostics))
            .collect();
        ResponseSide { responses }
    }

    /// `None` where it cannot be matched: a finding says why.
    fn response(
        &self,
        model: &ModelResponse,
        diagnostics: &mut Diagnostics,
    ) -> Option<IntegrationResponse> {
        let ModelResponse {
            selection_pattern,
            status_code,
            response_parameters,
            response_templates,
            content_handling,
        } = model;
        let pattern = match selection_pattern {
            None => None,
            Some(text) => match Pattern::parse(&text.value) {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    let message = format!("`{}` is no regular expression: {error}", text.value);
                    diagnostics.push(Diagnostic::error("E0906", message).at(text.span));
                    return None;
                }
            },
        };
        let mut headers = Vec::with_capacity(response_parameters.len());
        for (target, source) in response_parameters {
            match compile_response_header(target, &source.value) {
                Ok(header) => headers.push(header),
                Err(message) => {
                    diagnostics.push(Diagnostic::error("E0902", message).at(source.span));
                }
            }
        }
        Some(IntegrationResponse {
            pattern,
            status: self.declared_status(status_code),
            headers,
            templates: compile_templates(response_templates, diagnostics),
            content_handling: *content_handling,
        })
    }

    /// A status must be one of the method's responses; the reader has named those that are not
    /// ("Set up an integration response in API Gateway").
    fn declared_status(&self, status: &Spanned<String>) -> Result<StatusCode, String> {
        let code = status
            .value
            .parse::<u16>()
            .ok()
            .filter(|code| (200..600).contains(code))
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or_else(|| format!("`{}` is no status", status.value));
        let declared =
            self.route.responses.is_empty() || self.route.responses.contains_key(&status.value);
        code.and_then(|code| {
            let message = || {
                format!(
                    "the status {} is not among the method's `responses`",
                    status.value
                )
            };
            declared.then_some(code).ok_or_else(message)
        })
    }

    fn http_proxy(&self, model: &Model) -> Result<Integration, Fault> {
        let (uri, span) = self.http_uri(model)?;
        let connection = self.connection(model)?;
        let method = self.method(model)?;
        Ok(match self.api.kind {
            ApiKind::Rest => {
                let mapping = self.mapping(model)?;
                Integration::RestHttpProxy(http_proxy::rest::HttpProxy {
                    connection,
                    uri,
                    method,
                    mapping,
                    content_handling: model.content_handling,
                })
            }
            ApiKind::Http => {
                let declared = super::compile::route_key(self.route);
                for name in uri.placeholders() {
                    let known = self.route.path.contains(&format!("{{{name}}}"))
                        || self.route.path.contains(&format!("{{{name}+}}"));
                    if !known {
                        let reason = format!(
                            "`{{{name}}}` of the uri is no variable of the route {declared}"
                        );
                        return Err(Fault { reason, span });
                    }
                }
                let adds = if model.vpc_link.is_some() && uri.source() == NO_HOST {
                    AddedToAddress::PathWithStage
                } else if self.route.path == "$default" {
                    AddedToAddress::Path
                } else {
                    AddedToAddress::Nothing
                };
                Integration::HttpApiProxy(http_proxy::http::HttpProxy {
                    connection,
                    uri,
                    method,
                    adds,
                    mapping: self.http_request_mapping(model)?,
                    response_mapping: self.http_response_mapping(model)?,
                })
            }
        })
    }

    fn http_uri(&self, model: &Model) -> Result<(UriTemplate, Span), Fault> {
        let uri = self.uri(model)?;
        let (mut filled, missing) = self.filled(uri);
        if model.vpc_link.is_some() && filled.starts_with("arn:") {
            // A listener or a Cloud Map service: the link's targets say where it is.
            filled = NO_HOST.to_owned();
        }
        let parsed = UriTemplate::parse(&filled).map_err(|error| Fault {
            reason: match missing.as_slice() {
                [] => error.to_string(),
                missing => format!(
                    "{error}: the stage variable `{}` is not set",
                    missing.join("`, `")
                ),
            },
            span: uri.span,
        })?;
        Ok((parsed, uri.span))
    }

    fn connection(&self, model: &Model) -> Result<Connection, Fault> {
        Ok(Connection {
            client: self.compiler.client.clone(),
            timeout: self.timeout(model),
            insecure: model.tls.insecure_skip_verification,
            server_name: model.tls.server_name_to_verify.clone(),
            link: self.private_link(model)?,
            stream: model.stream,
            upstream: OnceLock::new(),
        })
    }

    /// What the configuration puts behind the integration's VPC link.
    fn private_link(&self, model: &Model) -> Result<Option<Arc<PrivateLink>>, Fault> {
        let Some(id) = &model.vpc_link else {
            return Ok(None);
        };
        let (filled, _) = self.filled(id);
        let fault = |reason: String| Fault {
            reason,
            span: id.span,
        };
        let link = self.compiler.settings.vpc_links.get(&filled).ok_or_else(|| {
            fault(format!(
                "the configuration has no targets for the VPC link `{filled}`: add `vpcLinks: {{{filled}: {{targets: [\"http://127.0.0.1:PORT\"]}}}}`"
            ))
        })?;
        let targets: Vec<&str> = link.targets.iter().map(|url| url.value.as_str()).collect();
        let names_host = self.uri(model)?.value.starts_with("http");
        PrivateLink::new(&targets, names_host)
            .map(|link| Some(Arc::new(link)))
            .map_err(fault)
    }

    /// `None` repeats the client's method.
    fn method(&self, model: &Model) -> Result<Option<Method>, Fault> {
        match &model.http_method {
            None => Ok(None),
            Some(method) if method.value == "ANY" => Ok(None),
            Some(method) => Method::from_bytes(method.value.as_bytes())
                .map(Some)
                .map_err(|_| Fault {
                    reason: format!("`{}` is no HTTP method", method.value),
                    span: method.span,
                }),
        }
    }
}

/// Templates that parse; a finding says where the others do not.
fn compile_templates(
    texts: &IndexMap<String, Spanned<String>>,
    diagnostics: &mut Diagnostics,
) -> Templates {
    let mut templates = Templates::default();
    for (media_type, text) in texts {
        if let Err(error) = templates.add(media_type, &text.value) {
            let message = format!("the mapping template for {media_type} cannot be read: {error}");
            diagnostics.push(Diagnostic::error("E0908", message).at(text.span));
        }
    }
    templates
}

fn compile_response_header(
    target: &str,
    source: &str,
) -> Result<(HeaderName, ResponseSource), String> {
    let name = target
        .strip_prefix("method.response.header.")
        .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .ok_or_else(|| format!("`{target}` is no target; expected method.response.header.NAME"))?;
    Ok((name, ResponseSource::parse(source)?))
}

/// The handler that a `uri: local:NAME` names.
fn local_handler(model: &Model) -> Option<&str> {
    model.uri.as_ref()?.value.strip_prefix("local:")
}
