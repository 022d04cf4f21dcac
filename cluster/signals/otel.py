"""OpenTelemetry: a run > its steps > their shards as spans, and the metrics beside them, sent to a collector.

Where to is what the SDK's own variables say: OTEL_EXPORTER_OTLP_ENDPOINT (http://localhost:4318 unless it is set),
OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES. The packages are the extra `otel`. A collector
that cannot be reached costs spans, not the run.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from cluster import VERSION
from cluster.errors import ConfigError
from cluster.signals.events import (
    Event,
    RunBegan,
    RunEnded,
    ShardBegan,
    ShardCommitted,
    ShardFailed,
    StepBegan,
    StepEnded,
    everyone,
)
from cluster.signals.telemetry import Metric, Metrics, Values

ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)  # fmt: skip
PACKAGES = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"


def asked_for(flag: bool, environment: Mapping[str, str] = os.environ) -> bool:
    """`--otel`, or a variable that says where to; OTEL_SDK_DISABLED=true says no to the variable."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return flag or (not disabled and any(environment.get(name) for name in ENDPOINTS))


class Otel:
    """Spans and metrics on their way to a collector. `hear` is told what happens; `close` sends what is left."""

    def __init__(self) -> None:
        """`ConfigError` without the packages."""
        resources = _module("opentelemetry.sdk.resources")
        sdk_trace, sdk_metrics = _module("opentelemetry.sdk.trace"), _module("opentelemetry.sdk.metrics")
        span_exporter = _module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        metric_exporter = _module("opentelemetry.exporter.otlp.proto.http.metric_exporter")
        resource = resources.Resource.create(
            {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "headrace", "service.version": VERSION}
        )
        self._traces = sdk_trace.TracerProvider(resource=resource)
        exporter = _module("opentelemetry.sdk.trace.export").BatchSpanProcessor(span_exporter.OTLPSpanExporter())
        self._traces.add_span_processor(exporter)
        periodic = _module("opentelemetry.sdk.metrics.export").PeriodicExportingMetricReader
        self._metrics = sdk_metrics.MeterProvider([periodic(metric_exporter.OTLPMetricExporter())], resource)
        self.hear = everyone(Traces(self._traces).hear, Metrics(OtelExport(self._metrics)).hear)

    def close(self) -> None:
        self._traces.shutdown()
        self._metrics.shutdown()


class Traces:
    """Hears a run and makes spans of it. A shard that is begun again has one for each attempt."""

    def __init__(self, provider: Any) -> None:
        trace = _module("opentelemetry.trace")
        self._error = trace.StatusCode.ERROR
        self._within: Callable[[Any], Any] = trace.set_span_in_context
        self._tracer = provider.get_tracer("headrace", VERSION)
        self._run: Any = None
        self._step: Any = None
        self._common: dict[str, str] = {}
        self._shards: dict[str, Any] = {}

    def hear(self, event: Event) -> None:
        """Begin or end what `event` tells of."""
        match event:
            case RunBegan():
                self._common = {"headrace.recipe": event.recipe, "headrace.run": event.run}
                self._run = self._begin(f"run {event.recipe}", None, {"headrace.max_dead": event.max_dead})
            case StepBegan():
                self._common["headrace.step"] = event.step
                self._step = self._begin(f"step {event.step}", self._run, {})
            case ShardBegan():
                what = {"headrace.shard": event.shard.name, "headrace.attempt": event.attempt}
                self._shards[event.shard.name] = self._begin("shard", self._step, what)
            case ShardFailed():
                self._end(self._shards.pop(event.shard.name, None), event.why)
            case ShardCommitted():
                self._committed(event)
            case StepEnded():
                for span in self._shards.values():
                    self._end(span, event.error or "the step ended before it")
                self._shards.clear()
                self._end(self._step, event.error)
            case RunEnded():
                self._common.pop("headrace.step", None)
                self._end(self._run, event.error)

    def _committed(self, event: ShardCommitted) -> None:
        span = self._shards.pop(event.shard.name, None)
        if span is not None:
            counts = event.manifest.counts
            rows = {"in": counts.rows_in, "out": counts.out, "dropped": sum(counts.dropped.values())}
            span.set_attributes({f"headrace.rows_{name}": n for name, n in {**rows, "dead": counts.dead}.items()})
        self._end(span, "")

    def _begin(self, name: str, parent: Any, attributes: dict[str, Any]) -> Any:
        within = self._within(parent) if parent is not None else None
        return self._tracer.start_span(name, context=within, attributes={**self._common, **attributes})

    def _end(self, span: Any, error: str) -> None:
        if span is None:
            return
        if error:
            span.set_status(self._error, error)
        span.end()


class OtelExport:
    """The metrics under the names that the program gives them, without Ray's `ray_`."""

    def __init__(self, provider: Any) -> None:
        self._meter = provider.get_meter("headrace", VERSION)
        self._made: dict[Metric, Any] = {}

    def add(self, metric: Metric, labels: Values, value: float) -> None:
        self._of(metric).add(value, dict(zip(metric.labels, labels, strict=True)))

    def set(self, metric: Metric, labels: Values, value: float) -> None:
        self._of(metric).set(value, dict(zip(metric.labels, labels, strict=True)))

    def _of(self, metric: Metric) -> Any:
        if metric not in self._made:
            make = self._meter.create_counter if metric.kind == "counter" else self._meter.create_gauge
            self._made[metric] = make(metric.name, description=metric.meaning)
        return self._made[metric]


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"OpenTelemetry is asked for (--otel, or {ENDPOINTS[0]} is set), and {name} is not installed\n"
            f"  pip install {PACKAGES}"
        ) from error
