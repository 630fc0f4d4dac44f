"""Prometheus metrics, and spans by OTLP if an endpoint is named: times, counts and versions, never texts."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import NoOpTracer, Span, StatusCode, Tracer
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cortex_pipelines.serving.engines.engine import Event, TextDelta

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"

Attributes = Mapping[str, str | int | float]


class TracingError(RuntimeError):
    pass


@contextmanager
def tracer_of_environment() -> Iterator[Tracer]:
    """The tracer configured by the standard variables, flushed on exit; raises TracingError."""
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
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


class AnswerSpans:
    """Spans of an answer: time queued (``queue``), time generating (``engine``)."""

    def __init__(self, tracer: Tracer, attributes: Attributes) -> None:
        self._tracer, self._attributes = tracer, attributes
        self._context = contexts.get_current()
        self._lock = threading.Lock()
        self._written = 0
        self._engine: Span | None = None
        self._queue = tracer.start_span("queue", self._context, attributes=attributes)

    def start_engine(self) -> None:
        with self._lock:
            if self._engine is None:
                self._queue.end()
                self._engine = self._tracer.start_span("engine", self._context, attributes=self._attributes)

    def wrap(self, deliver: Callable[[Event], None]) -> Callable[[Event], None]:
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
        span = self._engine or self._queue
        span.set_attribute("gen_ai.usage.output_tokens", self._written)
        if error is not None:  # its message may quote the prompt
            span.set_status(StatusCode.ERROR, type(error).__name__)
        span.end()


class ScreeningSpan:
    """Span over the filtering of an answer, from its first to its last delta."""

    def __init__(self, tracer: Tracer, filter_delta: Callable[[TextDelta], TextDelta | None]) -> None:
        self._tracer, self._filter_delta = tracer, filter_delta
        self._context = contexts.get_current()
        self._began = self._spent = 0

    def __call__(self, delta: TextDelta) -> TextDelta | None:
        began = time.perf_counter_ns()
        self._began = self._began or time.time_ns()
        filtered = self._filter_delta(delta)
        self._spent += time.perf_counter_ns() - began
        return filtered

    def end(self, flags: int) -> None:
        if self._began:
            attributes: Attributes = {"cortex.screening.seconds": self._spent / 1e9, "cortex.screening.flags": flags}
            self._tracer.start_span("screening", self._context, attributes=attributes, start_time=self._began).end()


_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Metrics of one gateway, in their own registry: a process may have several gateways."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, buckets=_SECONDS, registry=self.registry)
        variant = ("project", "variant")
        self.requests = counter("cortex_requests", "Requests answered", ("route", "model", "way", "status"))
        self.seconds = histogram("cortex_request_seconds", "Time to the end of an answer", ("route",))
        self.first_token = histogram("cortex_first_token_seconds", "Time to the first token")
        self.tokens = counter("cortex_tokens", "Tokens read and written", ("model", "kind"))
        self.waiting = gauge("cortex_waiting", "Requests that wait for the model")
        self.resident = gauge("cortex_resident_adapters", "Adapters in memory")
        self.adapter_loads = counter(
            "cortex_adapter_requests", "Requests for adapters, by whether they could be loaded", ("outcome",)
        )
        self.fallbacks = counter("cortex_fallbacks", "Answers by the base for an adapter", ("model",))
        self.flagged = counter("cortex_flagged", "Secrets and personal data in answers, by rule", ("rule",))
        self.trials = counter(
            "cortex_rollout_answers", "Answers while a canary is running, by outcome", (*variant, "outcome")
        )
        self.trial_seconds = histogram("cortex_rollout_seconds", "Time of an answer while a canary is running", variant)
        self.experiment_answers = counter(
            "cortex_experiment_answers", "Answers while an experiment is running, by outcome", (*variant, "outcome")
        )
        self.experiment_votes = counter(
            "cortex_experiment_votes", "Votes on answers of an experiment", (*variant, "vote")
        )
        self.experiment_seconds = histogram(
            "cortex_experiment_seconds", "Time of an answer while an experiment is running", variant
        )
        self.cache_requests = counter(
            "cortex_cache_requests", "Lookups in the response cache, by outcome", ("outcome",)
        )
        self.cache_bytes = gauge("cortex_cache_bytes", "Size of the response cache")
        self.routed_tasks = counter("cortex_routed", "Tasks routed, by what decided", ("by",))
