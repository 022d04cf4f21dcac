"""Spans and metrics of a run for an OpenTelemetry collector."""

import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ConfigError, DeadRowsError
from cluster.shards import InputFile, Shard
from cluster.signals.events import Hear, RunBegan, RunEnded, ShardBegan, ShardFailed, StepBegan, StepEnded
from cluster.signals.otel import Otel, OtelExport, Traces, asked_for
from cluster.signals.telemetry import Metrics
from pipelines.cli import main
from stages.stage import Piece
from tests.fakes import CrashOn, DropWith
from tests.runs import one_step, plan_over, run_local, write

pytest.importorskip("opentelemetry.sdk")
FILES = {"a.txt": "one\nspam\nbad\n", "b.txt": "two\n"}


class Spans:
    """What was traced, in memory."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.hear: Hear = Traces(provider).hear

    @property
    def ended(self) -> list[Any]:
        return list(self._kept.get_finished_spans())

    def tree(self) -> list[tuple[str, str | None]]:
        """(name, name of the parent), in the order in which they ended."""
        names = {span.context.span_id: span.name for span in self.ended}
        return [(span.name, names[span.parent.span_id] if span.parent else None) for span in self.ended]


def attributes(span: Any) -> dict[str, Any]:
    return {name.removeprefix("headrace."): value for name, value in span.attributes.items()}


def test_a_run_has_steps_and_they_have_shards(tmp_path: Path) -> None:
    spans = Spans()
    plan = plan_over(one_step(DropWith("spam"), CrashOn("bad")), write(tmp_path / "in", FILES))
    run_local(plan, tmp_path / "out", max_dead=0.5, hear=spans.hear)
    assert spans.tree() == [
        ("shard", "step only"), ("shard", "step only"), ("step only", "run lines"), ("run lines", None),
    ]  # fmt: skip
    assert len({span.context.trace_id for span in spans.ended}) == 1
    first = attributes(spans.ended[0])
    assert first.pop("run")
    assert first.pop("shard").startswith("a-")
    assert first == {
        "recipe": "lines", "step": "only", "attempt": 1, "rows_in": 3, "rows_out": 1, "rows_dropped": 1, "rows_dead": 1,
    }  # fmt: skip
    assert {span.status.is_ok for span in spans.ended} == {True}
    assert attributes(spans.ended[-1])["max_dead"] == 0.5


def test_what_failed_says_why(tmp_path: Path) -> None:
    spans = Spans()
    plan = plan_over(one_step(CrashOn("bad")), write(tmp_path / "in", FILES))
    with pytest.raises(DeadRowsError):
        run_local(plan, tmp_path / "out", max_dead=0.0, hear=spans.hear)
    assert [span.status.description for span in spans.ended[-2:]] == [
        f"step only: 1 of 4 rows died, more than --max-dead 0 allows; they are in file://{tmp_path}/out/only/dead"
    ] * 2


def test_every_attempt_is_a_span_and_none_stays_open() -> None:
    spans = Spans()
    a, b = (Shard(name, Piece(name), InputFile(name, 1, "")) for name in "ab")
    spans.hear(RunBegan("web", "r", 0.1, 0.0))
    spans.hear(StepBegan("only", (), ()))
    for event in (ShardBegan(a, 1), ShardBegan(b, 1), ShardFailed(a, "worker died"), ShardBegan(a, 2)):
        spans.hear(event)
    spans.hear(StepEnded("only", "gone"))
    spans.hear(RunEnded("failed", "gone"))
    assert [(attributes(s).get("attempt"), s.status.description) for s in spans.ended] == [
        (1, "worker died"), (1, "gone"), (2, "gone"), (None, "gone"), (None, "gone"),
    ]  # fmt: skip


def test_the_metrics_are_the_same(tmp_path: Path) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    plan = plan_over(one_step(DropWith("spam")), write(tmp_path / "in", FILES))
    run_local(plan, tmp_path / "out", hear=Metrics(OtelExport(provider)).hear)
    data: Any = reader.get_metrics_data()
    found = {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
    rows = {point.attributes["outcome"]: point.value for point in found["headrace_rows_total"].data.data_points}
    assert rows == {"in": 4, "out": 3, "dropped": 1}
    assert [point.value for point in found["headrace_max_dead"].data.data_points] == [0.001]
    provider.shutdown()


@pytest.mark.parametrize(
    ("flag", "environment", "wanted"),
    [
        (False, {}, False),
        (True, {}, True),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        (False, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_it_is_sent_when_it_is_asked_for(flag: bool, environment: dict[str, str], wanted: bool) -> None:
    assert asked_for(flag, environment) is wanted


def test_without_the_packages_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    command = ["run", "web", "--input", write(tmp_path / "in", FILES), "--output", str(tmp_path / "out"), "--otel"]
    assert main(command) == 2
    assert capsys.readouterr().err.splitlines() == [
        "headrace: OpenTelemetry is asked for (--otel, or OTEL_EXPORTER_OTLP_ENDPOINT is set), and "
        "opentelemetry.exporter.otlp.proto.http.trace_exporter is not installed",
        "  pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http",
    ]
    assert not (tmp_path / "out").exists()


def test_a_command_that_does_not_ask_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    assert asked_for(False, {}) is False
    with pytest.raises(ConfigError):
        Otel()
