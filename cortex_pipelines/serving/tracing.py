"""Spans of requests for OpenTelemetry: times, counts and versions, never a text.

Exported by OTLP where the standard variables name an endpoint, and made nowhere else.
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
    """Spans cannot be exported as the environment asks; the message says why."""


@contextmanager
def tracer_of_environment() -> Iterator[Tracer]:
    """The tracer that the standard variables ask for; what is left is exported at the end.

    Raises:
        TracingError: they ask for a protocol that is not spoken here.
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

    about = {"service.version": version("cortex-pipelines")}
    attributes = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in attributes:
        about["service.name"] = "cortex-gateway"
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider.get_tracer(__name__)
    finally:
        provider.shutdown()


def trace_id() -> str:
    """Of the request that is answered now, in hexadecimal; empty outside of a trace."""
    now = trace.get_current_span().get_span_context()
    return f"{now.trace_id:032x}" if now.is_valid else ""


class AnswerSpans:
    """What an answer waits for: ``queue`` until the engine turns to it, ``engine`` while it writes.

    Args:
        tracer: Makes the spans, within that of the request.
        attributes: What answers.
    """

    def __init__(self, tracer: Tracer, attributes: Attributes) -> None:
        self._tracer = tracer
        self._attributes = attributes
        self._context = contexts.get_current()
        self._lock = threading.Lock()
        self._written = 0
        self._engine: Span | None = None
        self._queue = tracer.start_span("queue", self._context, attributes=attributes)

    def begun(self) -> None:
        """The engine has turned to it."""
        with self._lock:
            if self._engine is None:
                self._queue.end()
                self._engine = self._tracer.start_span(
                    "engine", self._context, attributes=self._attributes
                )

    def watched(self, deliver: Callable[[Event], None]) -> Callable[[Event], None]:
        """Delivers, and ends the spans with the answer."""

        def delivered(event: Event) -> None:
            self.begun()  # of an engine that does not say
            if isinstance(event, TextDelta):
                if not self._written and self._engine is not None:
                    self._engine.add_event("first token")
                self._written += event.generated
            else:
                self.ended(event)
            deliver(event)

        return delivered

    def ended(self, error: BaseException | None = None) -> None:
        """Nothing more will be written."""
        span = self._engine or self._queue
        span.set_attribute("gen_ai.usage.output_tokens", self._written)
        if error is not None:  # its message may quote the prompt
            span.set_status(StatusCode.ERROR, type(error).__name__)
        span.end()


class ScreeningSpan:
    """Looking through an answer, which is done in pieces: from the first to the last of them.

    Args:
        tracer: Makes the span.
        screened: Looks through a piece.
    """

    def __init__(self, tracer: Tracer, screened: Callable[[TextDelta], TextDelta | None]) -> None:
        self._tracer = tracer
        self._screened = screened
        self._context = contexts.get_current()
        self._began = 0
        self._spent = 0

    def __call__(self, piece: TextDelta) -> TextDelta | None:
        """One piece."""
        began = time.perf_counter_ns()
        self._began = self._began or time.time_ns()
        shown = self._screened(piece)
        self._spent += time.perf_counter_ns() - began
        return shown

    def end(self, flags: int) -> None:
        """The answer is over.

        Args:
            flags: By how many rules something in it was known.
        """
        if self._began:
            given: Attributes = {
                "cortex.screening.seconds": self._spent / 1e9,
                "cortex.screening.flags": flags,
            }
            span = self._tracer.start_span(
                "screening", self._context, attributes=given, start_time=self._began
            )
            span.end()
