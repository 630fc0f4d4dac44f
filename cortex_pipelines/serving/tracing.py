"""OpenTelemetry spans of requests: times, counts and versions, never texts.

Spans are exported by OTLP, and only created if the standard variables name an endpoint.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import NoOpTracer, Span, StatusCode, Tracer

from cortex_pipelines.serving.engines.engine import Event, TextDelta

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"

Attributes = Mapping[str, str | int | float]


class TracingError(RuntimeError):
    """Spans cannot be exported as configured in the environment."""


@contextmanager
def tracer_of_environment() -> Iterator[Tracer]:
    """The tracer configured by the standard variables; flushed on exit.

    Raises:
        TracingError: unsupported protocol.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        yield NoOpTracer()
        return
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise TracingError(
            f"spans cannot be exported by {protocol}: set OTEL_EXPORTER_OTLP_PROTOCOL={_PROTOCOL}, "
            "and the endpoint's port to match (mostly 4318)"
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource_attributes = {"service.version": version("cortex-pipelines")}
    attributes = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in attributes:
        resource_attributes["service.name"] = "cortex-gateway"
    provider = TracerProvider(resource=Resource.create(resource_attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider.get_tracer(__name__)
    finally:
        provider.shutdown()


def trace_id() -> str:
    """Trace id of the current request in hexadecimal; empty outside a trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


class AnswerSpans:
    """Spans of an answer: time queued (``queue``), time generating (``engine``).

    Args:
        tracer: Creates the spans, within that of the request.
        attributes: Attributes of the backend.
    """

    def __init__(self, tracer: Tracer, attributes: Attributes) -> None:
        self._tracer = tracer
        self._attributes = attributes
        self._context = contexts.get_current()
        self._lock = threading.Lock()
        self._written = 0
        self._engine: Span | None = None
        self._queue = tracer.start_span("queue", self._context, attributes=attributes)

    def start_engine(self) -> None:
        """End the queue span and start the engine span."""
        with self._lock:
            if self._engine is None:
                self._queue.end()
                self._engine = self._tracer.start_span("engine", self._context, attributes=self._attributes)

    def wrap(self, deliver: Callable[[Event], None]) -> Callable[[Event], None]:
        """Wrap ``deliver`` to end the spans with the answer."""

        def delivered(event: Event) -> None:
            self.start_engine()  # for engines that do not call it
            if isinstance(event, TextDelta):
                if not self._written and self._engine is not None:
                    self._engine.add_event("first token")
                self._written += event.generated
            else:
                self.finish(event)
            deliver(event)

        return delivered

    def finish(self, error: BaseException | None = None) -> None:
        """End the open span."""
        span = self._engine or self._queue
        span.set_attribute("gen_ai.usage.output_tokens", self._written)
        if error is not None:  # its message may quote the prompt
            span.set_status(StatusCode.ERROR, type(error).__name__)
        span.end()


class ScreeningSpan:
    """Span over the filtering of an answer, from its first to its last delta.

    Args:
        tracer: Creates the span.
        screened: Filters a delta.
    """

    def __init__(self, tracer: Tracer, filter_delta: Callable[[TextDelta], TextDelta | None]) -> None:
        self._tracer = tracer
        self._screened = filter_delta
        self._context = contexts.get_current()
        self._began = 0
        self._spent = 0

    def __call__(self, delta: TextDelta) -> TextDelta | None:
        began = time.perf_counter_ns()
        self._began = self._began or time.time_ns()
        filtered = self._screened(delta)
        self._spent += time.perf_counter_ns() - began
        return filtered

    def end(self, flags: int) -> None:
        """Record the span.

        Args:
            flags: Number of rules that matched.
        """
        if self._began:
            attributes: Attributes = {"cortex.screening.seconds": self._spent / 1e9, "cortex.screening.flags": flags}
            span = self._tracer.start_span("screening", self._context, attributes=attributes, start_time=self._began)
            span.end()
