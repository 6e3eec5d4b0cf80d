//! Logs to stderr and, when a collector is named, spans to it over OTLP.
//!
//! Spans are not made from `tracing` spans: the proxy turns each finished record into exactly one span through [`Tracer`],
//! so nothing here sits on the path of a call. Content is never recorded; that promise is kept by whoever makes the records.
//! This module must not know any record.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::EnvFilter;

/// Makes spans out of finished records. Cloning is cheap.
pub use opentelemetry_sdk::trace::SdkTracer as Tracer;

/// How long the last spans may take to reach the collector when the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people: one line per event, coloured on a terminal.
    #[default]
    Text,
    /// For machines: one JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(TelemetryError::LogFormat(other.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Neither `text` nor `json`.
    #[error("unknown log format `{0}`: write `text` or `json`")]
    LogFormat(String),
    /// The filter does not parse.
    #[error("log filter `{filter}` does not parse: write for example `info` or `info,frontdoor_proxy=debug`")]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another subscriber is installed in this process.
    #[error("logging is already set up in this process")]
    AlreadySetUp,
    /// The collector's address is not one we can export to.
    #[error(
        "OTLP endpoint `{0}` must be an http:// URL such as http://127.0.0.1:4317 (TLS to the collector is not built in: use a collector on the same machine)"
    )]
    Endpoint(String),
    /// The exporter could not be built.
    #[error("cannot export spans to OTLP endpoint `{endpoint}`")]
    Exporter {
        /// What was given.
        endpoint: String,
        /// What the exporter says.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
}

/// Keeps telemetry going. End it with [`TelemetryGuard::finish`], so that the last spans arrive.
#[derive(Debug)]
#[must_use = "spans are exported for as long as the guard lives"]
pub struct TelemetryGuard {
    provider: Option<SdkTracerProvider>,
}

/// Sets up the process's logging and, with an endpoint, its span export. Needs a tokio runtime when an endpoint is given.
pub fn init(
    service_name: &'static str,
    log_format: LogFormat,
    filter: &str,
    otlp_endpoint: Option<&str>,
) -> Result<TelemetryGuard, TelemetryError> {
    let provider = otlp_endpoint.map(|endpoint| provider(service_name, endpoint)).transpose()?;
    install_logging(log_format, filter)?;
    Ok(TelemetryGuard { provider })
}

impl TelemetryGuard {
    /// Neither logs nor spans: for planes that a test starts, where the test owns the logging.
    pub const fn disabled() -> Self {
        Self { provider: None }
    }

    /// The tracer, when a collector was named.
    pub fn tracer(&self) -> Option<Tracer> {
        self.provider.as_ref().map(|provider| provider.tracer("frontdoor"))
    }

    /// Sends what is left to the collector, for at most a few seconds, on a thread of its own.
    pub async fn finish(mut self) {
        let Some(provider) = self.provider.take() else { return };
        match tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_LIMIT)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans did not reach the collector"),
            Err(error) => tracing::warn!(%error, "flushing the last spans was interrupted"),
        }
    }
}

fn install_logging(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.with_ansi(false).json().flatten_event(true).try_init(),
    };
    installed.or(Err(TelemetryError::AlreadySetUp))
}

fn provider(service_name: &'static str, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    if !endpoint.starts_with("http://") {
        return Err(TelemetryError::Endpoint(endpoint.to_owned()));
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Exporter { endpoint: endpoint.to_owned(), source })?;
    let resource = Resource::builder().with_service_name(service_name).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_format_reads_back_what_it_shows_and_names_what_it_does_not_know() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse::<LogFormat>().unwrap(), format);
        }
        let error = "xml".parse::<LogFormat>().unwrap_err();
        assert_eq!(error.to_string(), "unknown log format `xml`: write `text` or `json`");
    }

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        let error = init("test", LogFormat::Text, "frontdoor=shouting", None).unwrap_err();
        assert!(error.to_string().contains("`frontdoor=shouting`"), "{error}");
    }

    #[test]
    fn an_endpoint_that_cannot_be_reached_by_plain_http_is_refused() {
        for endpoint in ["https://collector:4317", "collector:4317", ""] {
            let error = init("test", LogFormat::Text, "info", Some(endpoint)).unwrap_err();
            assert!(matches!(error, TelemetryError::Endpoint(_)), "{error}");
        }
    }

    #[tokio::test]
    async fn a_tracer_exists_only_with_a_collector() {
        assert!(TelemetryGuard::disabled().tracer().is_none());
        let guard = TelemetryGuard { provider: Some(provider("test", "http://127.0.0.1:1").unwrap()) };
        assert!(guard.tracer().is_some());
        guard.finish().await;
    }
}
