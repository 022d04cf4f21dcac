"""Who hears a run: Ray's metrics where it runs on Ray, an OpenTelemetry collector where one is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.signals.events import Hear, everyone
from cluster.signals.otel import Otel, asked_for
from cluster.signals.telemetry import Metrics, RayExport


@contextmanager
def watching(options: dict[str, Any]) -> Iterator[Hear]:
    """For the options of a run; behind it, what is left is sent. `ConfigError` if something is not installed."""
    otel = Otel() if asked_for(options["otel"]) else None
    on_ray = [Metrics(RayExport()).hear] if options["runner"] == "ray" else []
    try:
        yield everyone(*on_ray, *([otel.hear] if otel else []))
    finally:
        if otel is not None:
            otel.close()
