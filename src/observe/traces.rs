//! Traces on their way to an OpenTelemetry collector, as the `OTEL_*` variables ask.
//!
//! A request's spans are put together once it has ended, and only for those that
//! are sampled; batches are sent by a thread of their own (OTLP over HTTP).
//!
//! Source: OpenTelemetry specification, "Environment Variable Specification" and
//! "OpenTelemetry Protocol Exporter".

use std::time::{Duration, SystemTime};

use super::trace_context::{Sampler, TraceContext};
use super::watch::{Phase, Spans, Trace};

/// Sends spans.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    out: out::Out,
}

/// A value of a span's attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A sampled request that has ended.
#[derive(Debug)]
pub struct Finished {
    /// `GET /pets/{id}`.
    pub name: String,
    /// Its place in the trace.
    pub trace: Trace,
    /// When it came.
    pub began: SystemTime,
    /// When its backend phase and the others ended.
    pub answered: Duration,
    /// When its last byte was sent.
    pub ended: Duration,
    /// The gateway or the backend failed.
    pub failed: bool,
    /// Attributes of the whole request.
    pub attributes: Vec<(&'static str, Value)>,
    /// Attributes of the backend's span.
    pub backend: Vec<(&'static str, Value)>,
}

/// Why there are no traces although they were asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TracerError {
    /// A variable that is not understood.
    #[error("{0}")]
    Variable(String),
    /// The exporter cannot be made.
    #[error("traces cannot be sent: {0}")]
    Exporter(String),
}

/// Reads a variable of the environment.
pub type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// Whether the environment asks for traces: an endpoint of OTLP, or the exporter by name.
///
/// # Errors
///
/// What is asked for and cannot be done.
pub fn is_asked(variables: Variables<'_>) -> Result<bool, TracerError> {
    let set = |name: &str| variables(name).filter(|value| !value.trim().is_empty());
    if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    let exporter = set("OTEL_TRACES_EXPORTER");
    let endpoint =
        set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let asked = match exporter.as_deref().map(str::trim) {
        None => endpoint.is_some(),
        Some("none") => false,
        Some("otlp") => true,
        Some(other) => {
            return Err(TracerError::Variable(format!(
                "OTEL_TRACES_EXPORTER is `{other}`; expected otlp or none"
            )));
        }
    };
    let protocol =
        set("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| set("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match protocol.as_deref().map(str::trim) {
        _ if !asked => {}
        None | Some("http/protobuf") => {}
        Some(other) => {
            return Err(TracerError::Variable(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is `{other}`; expected http/protobuf, which collectors take at port 4318"
            )));
        }
    }
    Ok(asked)
}

impl Tracer {
    /// The tracer that the environment asks for; `None` where it asks for none.
    ///
    /// # Errors
    ///
    /// What is not understood, or that this program was built without the feature `otlp`.
    pub fn from_environment(variables: Variables<'_>) -> Result<Option<Self>, TracerError> {
        if !is_asked(variables)? {
            return Ok(None);
        }
        let sampler = Sampler::read(
            variables("OTEL_TRACES_SAMPLER").as_deref(),
            variables("OTEL_TRACES_SAMPLER_ARG").as_deref(),
        )
        .map_err(TracerError::Variable)?;
        let out = out::Out::open(variables)?;
        Ok(Some(Self { sampler, out }))
    }

    /// Where a request stands, by what it brought and by the id that it gets otherwise.
    pub fn begin(&self, came: Option<TraceContext>, trace_id: u128) -> Trace {
        let trace_id = came.map_or(trace_id, |came| came.trace_id);
        let sampled = self
            .sampler
            .samples(trace_id, came.and_then(|came| came.sampled));
        let id = || fastrand::u64(1..);
        // Nobody knows of a span that is not sampled: the caller's stays the parent.
        let parent = match came {
            Some(came) if !sampled && came.parent != 0 => came.parent,
            _ => id(),
        };
        let onward = TraceContext {
            trace_id,
            parent,
            sampled: Some(sampled),
        };
        Trace {
            onward,
            spans: sampled.then(|| Spans::begin(came.map_or(0, |came| came.parent), id())),
        }
    }

    /// Hands a sampled request's spans to the sending thread; where its queue is full they are dropped.
    pub fn end(&self, finished: Finished) {
        self.out.send(finished);
    }

    /// Sends what waits. Bounded in time.
    pub fn close(&self) {
        self.out.close();
    }
}

/// Phases as `(phase, begin, end)`.
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "nothing is sent"))]
fn intervals(
    phases: &[(Phase, Duration)],
    answered: Duration,
) -> impl Iterator<Item = (Phase, Duration, Duration)> {
    let ends = phases.iter().skip(1).map(|(_, begin)| *begin);
    phases
        .iter()
        .zip(ends.chain([answered]))
        .map(|((phase, begin), end)| (*phase, *begin, end.max(*begin)))
}

#[cfg(not(feature = "otlp"))]
mod out {
    use super::{Finished, TracerError, Variables};

    #[derive(Debug)]
    pub(super) enum Out {}

    impl Out {
        pub(super) fn open(_: Variables<'_>) -> Result<Self, TracerError> {
            Err(TracerError::Exporter(
                "this program was built without the feature `otlp`".to_owned(),
            ))
        }

        pub(super) fn send(&self, _: Finished) {
            match *self {}
        }

        pub(super) fn close(&self) {
            match *self {}
        }
    }
}

#[cfg(feature = "otlp")]
mod out {
    use std::time::Duration;

    use opentelemetry::trace::{
        SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
    };
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanProcessor};

    use super::{Finished, Phase, TracerError, Value, Variables, intervals};
    use crate::observe::watch::Spans;

    /// How long the end waits for a collector that does not answer.
    const END_PATIENCE: Duration = Duration::from_secs(5);

    #[derive(Debug)]
    pub(super) struct Out {
        processor: BatchSpanProcessor,
        scope: InstrumentationScope,
    }

    impl Out {
        /// Addresses, headers, time limits and sizes of batches are read from the
        /// environment by OpenTelemetry's own crates.
        pub(super) fn open(variables: Variables<'_>) -> Result<Self, TracerError> {
            let exporter = SpanExporter::builder()
                .with_http()
                .build()
                .map_err(|error| TracerError::Exporter(error.to_string()))?;
            let mut processor = BatchSpanProcessor::builder(exporter).build();
            let mut resource = Resource::builder();
            let named = variables("OTEL_SERVICE_NAME").is_some()
                || variables("OTEL_RESOURCE_ATTRIBUTES")
                    .is_some_and(|text| text.contains("service.name="));
            if !named {
                resource = resource.with_service_name("tollgate");
            }
            processor.set_resource(&resource.build());
            let scope = InstrumentationScope::builder("tollgate")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build();
            Ok(Self { processor, scope })
        }

        pub(super) fn send(&self, mut finished: Finished) {
            let Some(spans) = finished.trace.spans.take() else {
                return;
            };
            let backend = std::mem::take(&mut finished.backend);
            for (phase, begin, end) in intervals(&spans.phases(), finished.answered) {
                let integration = phase == Phase::Integration;
                let id = match integration {
                    true => finished.trace.onward.parent,
                    false => fastrand::u64(1..),
                };
                let mut span = self.span(&finished, phase.as_str().into(), id);
                span.parent_span_id = SpanId::from_bytes(spans.own.to_be_bytes());
                span.start_time = finished.began + begin;
                span.end_time = finished.began + end;
                if integration {
                    span.span_kind = SpanKind::Client;
                    span.attributes = attributes(backend.clone());
                }
                self.processor.on_end(span);
            }
            self.processor.on_end(self.root(finished, &spans));
        }

        fn root(&self, mut finished: Finished, spans: &Spans) -> SpanData {
            let name = std::mem::take(&mut finished.name);
            let mut span = self.span(&finished, name.into(), spans.own);
            if spans.parent != 0 {
                span.parent_span_id = SpanId::from_bytes(spans.parent.to_be_bytes());
                span.parent_span_is_remote = true;
            }
            span.span_kind = SpanKind::Server;
            span.start_time = finished.began;
            span.end_time = finished.began + finished.ended;
            if finished.failed {
                span.status = Status::error("");
            }
            span.attributes = attributes(finished.attributes);
            span
        }

        fn span(
            &self,
            finished: &Finished,
            name: std::borrow::Cow<'static, str>,
            id: u64,
        ) -> SpanData {
            SpanData {
                span_context: SpanContext::new(
                    TraceId::from_bytes(finished.trace.onward.trace_id.to_be_bytes()),
                    SpanId::from_bytes(id.to_be_bytes()),
                    TraceFlags::SAMPLED,
                    false,
                    TraceState::NONE,
                ),
                parent_span_id: SpanId::INVALID,
                parent_span_is_remote: false,
                span_kind: SpanKind::Internal,
                name,
                start_time: finished.began,
                end_time: finished.began,
                attributes: Vec::new(),
                dropped_attributes_count: 0,
                events: Default::default(),
                links: Default::default(),
                status: Status::Unset,
                instrumentation_scope: self.scope.clone(),
            }
        }

        pub(super) fn close(&self) {
            if let Err(error) = self.processor.shutdown_with_timeout(END_PATIENCE) {
                tracing::warn!(%error, "the last traces could not be sent");
            }
        }
    }

    fn attributes(list: Vec<(&'static str, Value)>) -> Vec<KeyValue> {
        list.into_iter()
            .map(|(name, value)| match value {
                Value::Text(text) => KeyValue::new(name, text),
                Value::Number(number) => KeyValue::new(name, number),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(variables: &[(&str, &str)]) -> Result<bool, String> {
        let read = |name: &str| {
            variables
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| (*value).to_owned())
        };
        is_asked(&read).map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_or_the_exporters_name_asks_for_traces() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

        assert_eq!(asked(&[]), Ok(false));
        assert_eq!(asked(&[endpoint]), Ok(true));
        assert_eq!(asked(&[("OTEL_TRACES_EXPORTER", "otlp")]), Ok(true));
        assert_eq!(
            asked(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]),
            Ok(false)
        );
        assert_eq!(asked(&[endpoint, ("OTEL_SDK_DISABLED", "true")]), Ok(false));
        let wrong = asked(&[endpoint, ("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err();
        assert!(wrong.contains("zipkin"), "{wrong}");
        let wrong = asked(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap_err();
        assert!(wrong.contains("http/protobuf"), "{wrong}");
    }

    #[test]
    fn a_phase_lasts_until_the_next() {
        let at = Duration::from_millis;
        let phases = [(Phase::Route, at(0)), (Phase::Mapping, at(2))];

        let all: Vec<_> = intervals(&phases, at(5)).collect();

        assert_eq!(
            all,
            [(Phase::Route, at(0), at(2)), (Phase::Mapping, at(2), at(5))]
        );
    }
}
