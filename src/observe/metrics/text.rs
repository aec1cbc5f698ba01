//! The metrics as Prometheus reads them.

use std::fmt::{Error, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{Histogram, Metrics, REASONS, SCOPES, Verdict, lock, process};
use crate::observe::Observer;

/// Media type of OpenMetrics.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Media type of Prometheus's own text.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of a gateway, as OpenMetrics or as Prometheus's text of old.
pub fn text(observer: &Arc<Observer>, openmetrics: bool) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::clone(observer))));
    let mut text = String::with_capacity(16 * 1024);
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    if openmetrics { text } else { as_of_old(&text) }
}

/// Prometheus's text names a counter with its suffix, has no units and no end, and
/// its help texts end without a dot of OpenMetrics's making.
fn as_of_old(openmetrics: &str) -> String {
    let mut counters: Vec<&str> = Vec::new();
    for line in openmetrics.lines() {
        if let Some(name) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.strip_suffix(" counter"))
        {
            counters.push(name);
        }
    }
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let told = line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "));
        match told.and_then(|rest| rest.split_once(' ')) {
            Some((name, rest)) if counters.contains(&name) => {
                let _ = writeln!(text, "{} {name}_total {rest}", &line[.."# HELP".len()]);
            }
            _ if line.starts_with("# UNIT") || line == "# EOF" => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[derive(Debug)]
struct Scrape(Arc<Observer>);

/// Labels of one series.
type Labels<'l, const N: usize> = [(&'l str, &'l str); N];

/// Writes one family after the other.
struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> Result<(), Error> {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            of(&mut family, &labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> Result<(), Error> {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            of(&mut family, &labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histograms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, &'l Histogram)>,
    ) -> Result<(), Error> {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, value) in series {
            value.encode(of(&mut family, &labels)?)?;
        }
        Ok(())
    }
}

fn of<'m, const N: usize>(
    family: &'m mut MetricEncoder<'_>,
    labels: &'m Labels<'m, N>,
) -> Result<MetricEncoder<'m>, Error> {
    family.encode_family(labels)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page(encoder);
        let metrics = &self.0.metrics;
        routes(&mut page, metrics)?;
        refusals(&mut page, metrics)?;
        authorizers(&mut page, metrics)?;
        functions(&mut page, metrics)?;
        connections(&mut page, metrics)?;
        store(&mut page, metrics)?;
        access_logs(&mut page, &self.0)?;
        page.gauges(
            "tollgate_build_info",
            "The version that runs",
            [([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        )?;
        process::write(&mut page.0)
    }
}

fn routes(page: &mut Page<'_>, metrics: &Metrics) -> Result<(), Error> {
    let routes = lock(&metrics.routes);
    let seen: Vec<_> = routes
        .values()
        .filter(|route| route.latency.count() > 0)
        .map(|route| {
            let labels = [
                ("api", route.labels.api.as_str()),
                ("stage", route.labels.stage.as_str()),
                ("method", route.labels.method.as_str()),
                ("resource", route.labels.resource.as_str()),
            ];
            (labels, route)
        })
        .collect();
    page.counters(
        "tollgate_count",
        "Requests (CloudWatch: Count)",
        seen.iter()
            .map(|(labels, route)| (*labels, route.latency.count())),
    )?;
    page.counters(
        "tollgate_4xx_error",
        "Answers with a status from 400 to 499 (CloudWatch: 4XXError, 4xx)",
        seen.iter()
            .map(|(labels, route)| (*labels, route.client_errors.get())),
    )?;
    page.counters(
        "tollgate_5xx_error",
        "Answers with a status from 500 to 599 (CloudWatch: 5XXError, 5xx)",
        seen.iter()
            .map(|(labels, route)| (*labels, route.server_errors.get())),
    )?;
    page.histograms(
        "tollgate_latency_seconds",
        "From a request's head to the last byte of its answer (CloudWatch: Latency)",
        seen.iter().map(|(labels, route)| (*labels, &route.latency)),
    )?;
    page.histograms(
        "tollgate_integration_latency_seconds",
        "From sending a request to the backend to its answer (CloudWatch: IntegrationLatency)",
        seen.iter()
            .filter(|(_, route)| route.integration_latency.count() > 0)
            .map(|(labels, route)| (*labels, &route.integration_latency)),
    )?;
    let cached = || {
        seen.iter()
            .filter(|(_, route)| route.cache_hits.get() + route.cache_misses.get() > 0)
    };
    page.counters(
        "tollgate_cache_hit_count",
        "Requests answered from the stage's cache (CloudWatch: CacheHitCount)",
        cached().map(|(labels, route)| (*labels, route.cache_hits.get())),
    )?;
    page.counters(
        "tollgate_cache_miss_count",
        "Requests that the stage's cache had no answer for (CloudWatch: CacheMissCount)",
        cached().map(|(labels, route)| (*labels, route.cache_misses.get())),
    )
}

fn refusals(page: &mut Page<'_>, metrics: &Metrics) -> Result<(), Error> {
    let apis = lock(&metrics.apis);
    page.counters(
        "tollgate_refused",
        "Requests that the gateway answered itself, by gateway response type",
        apis.values().flat_map(|api| {
            let by_reason = REASONS.iter().zip(&api.refused);
            by_reason
                .filter(|(_, count)| count.get() > 0)
                .map(|(reason, count)| {
                    let labels = [
                        ("api", &*api.api),
                        ("stage", &*api.stage),
                        ("reason", *reason),
                    ];
                    (labels, count.get())
                })
        }),
    )?;
    page.counters(
        "tollgate_throttled",
        "Requests that a limit refused, by whose it is",
        apis.values().flat_map(|api| {
            SCOPES.iter().zip(&api.throttled).map(|(scope, count)| {
                let labels = [
                    ("api", &*api.api),
                    ("stage", &*api.stage),
                    ("scope", *scope),
                ];
                (labels, count.get())
            })
        }),
    )
}

fn authorizers(page: &mut Page<'_>, metrics: &Metrics) -> Result<(), Error> {
    let authorizers = lock(&metrics.authorizers);
    let all: Vec<_> = authorizers
        .values()
        .map(|one| {
            let labels = [
                ("api", &*one.api),
                ("stage", &*one.stage),
                ("authorizer", &*one.name),
            ];
            (labels, one)
        })
        .collect();
    page.counters(
        "tollgate_authorizer_requests",
        "Requests that an authorizer has decided",
        all.iter().flat_map(|([api, stage, name], one)| {
            Verdict::ALL.into_iter().map(|verdict| {
                let labels = [*api, *stage, *name, ("verdict", verdict.as_str())];
                (labels, one.verdicts[verdict as usize].get())
            })
        }),
    )?;
    let asked = || {
        all.iter()
            .filter(|(_, one)| one.kept.get() + one.latency.count() > 0)
    };
    page.counters(
        "tollgate_authorizer_cache_hits",
        "Requests for which an earlier answer of a Lambda authorizer served",
        asked().map(|(labels, one)| (*labels, one.kept.get())),
    )?;
    page.histograms(
        "tollgate_authorizer_latency_seconds",
        "How long Lambda authorizers took",
        asked().map(|(labels, one)| (*labels, &one.latency)),
    )
}

fn functions(page: &mut Page<'_>, metrics: &Metrics) -> Result<(), Error> {
    let functions = lock(&metrics.functions);
    let all: Vec<_> = functions
        .iter()
        .map(|(name, one)| ([("function", name.as_str())], one))
        .collect();
    page.histograms(
        "tollgate_function_duration_seconds",
        "How long calls of functions took (Lambda: Duration; its count: Invocations)",
        all.iter().map(|(labels, one)| (*labels, &one.duration)),
    )?;
    page.counters(
        "tollgate_function_errors",
        "Calls in which the function failed (Lambda: Errors)",
        all.iter().map(|(labels, one)| (*labels, one.errors.get())),
    )?;
    page.counters(
        "tollgate_function_throttles",
        "Calls that the function's concurrency refused (Lambda: Throttles)",
        all.iter()
            .map(|(labels, one)| (*labels, one.throttles.get())),
    )?;
    page.counters(
        "tollgate_function_failures",
        "Calls that did not reach the function",
        all.iter()
            .map(|(labels, one)| (*labels, one.failures.get())),
    )?;
    page.gauges(
        "tollgate_function_concurrent_executions",
        "Calls under way (Lambda: ConcurrentExecutions)",
        all.iter().map(|(labels, one)| {
            #[expect(clippy::cast_precision_loss, reason = "a count of calls is small")]
            (*labels, one.concurrent.get() as f64)
        }),
    )?;
    page.counters(
        "tollgate_function_cold_starts",
        "Processes that were started for a call",
        all.iter()
            .map(|(labels, one)| (*labels, one.cold_starts.get())),
    )?;
    page.histograms(
        "tollgate_function_init_seconds",
        "How long a started process took until it asked for its first event",
        all.iter()
            .filter(|(_, one)| one.init.count() > 0)
            .map(|(labels, one)| (*labels, &one.init)),
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of connections is small"
)]
fn connections(page: &mut Page<'_>, metrics: &Metrics) -> Result<(), Error> {
    let all = &metrics.connections;
    page.counters(
        "tollgate_connections",
        "Connections that were accepted",
        [([], all.accepted.get())],
    )?;
    page.gauges(
        "tollgate_connections_open",
        "Connections that are open",
        [([], all.open.get() as f64)],
    )?;
    page.counters(
        "tollgate_connections_shed",
        "Idle connections that were closed to make place",
        [([], all.shed.get())],
    )?;
    page.gauges(
        "tollgate_requests_in_flight",
        "Requests that are being answered",
        [([], all.in_flight.get() as f64)],
    )
}

fn store(page: &mut Page<'_>, metrics: &Metrics) -> Result<(), Error> {
    let Some(store) = metrics.store.get() else {
        return Ok(());
    };
    let labels = [("store", store.kind.get().copied().unwrap_or("memory"))];
    let up = if store.down.load(Ordering::Relaxed) {
        0.0
    } else {
        1.0
    };
    page.gauges(
        "tollgate_store_up",
        "Whether the store of limits answered when it was last asked",
        [(labels, up)],
    )?;
    page.counters(
        "tollgate_store_errors",
        "Questions to the store that failed or took too long",
        [(labels, store.errors.get())],
    )?;
    page.histograms(
        "tollgate_store_latency_seconds",
        "How long the store took",
        [(labels, &store.latency)],
    )
}

fn access_logs(page: &mut Page<'_>, observer: &Observer) -> Result<(), Error> {
    let sinks = observer.access_logs.all();
    page.counters(
        "tollgate_access_log_lines",
        "Lines of access logs that were written",
        sinks
            .iter()
            .map(|sink| ([("destination", sink.name())], sink.written())),
    )?;
    page.counters(
        "tollgate_access_log_dropped",
        "Lines of access logs that were lost",
        sinks
            .iter()
            .map(|sink| ([("destination", sink.name())], sink.dropped())),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::metrics::RouteLabels;

    #[test]
    fn both_texts_have_what_was_counted_and_escape_labels() {
        let observer = Arc::new(Observer::default());
        let route = observer.metrics.route(RouteLabels {
            api: "a\"b".to_owned(),
            stage: "dev".to_owned(),
            method: "GET".to_owned(),
            resource: "/pets".to_owned(),
        });
        route.answered(503, Duration::from_millis(3));

        let labels = r#"api="a\"b",stage="dev",method="GET",resource="/pets""#;
        let new = text(&observer, true);
        assert!(new.contains("# TYPE tollgate_count counter\n"), "{new}");
        assert!(new.ends_with("# EOF\n"), "{new}");
        let old = text(&observer, false);
        assert!(
            old.contains("# TYPE tollgate_count_total counter\n"),
            "{old}"
        );
        assert!(!old.contains("# EOF"), "{old}");
        for text in [new, old] {
            assert!(
                text.contains(&format!("tollgate_count_total{{{labels}}} 1\n")),
                "{text}"
            );
            assert!(
                text.contains(&format!("tollgate_5xx_error_total{{{labels}}} 1\n")),
                "{text}"
            );
            let bucket = format!("tollgate_latency_seconds_bucket{{le=\"0.005\",{labels}}} 1\n");
            assert!(text.contains(&bucket), "{text}");
        }
    }
}
