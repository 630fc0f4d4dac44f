"""Spans and request lines: what was waited for and what answered, and never what was asked."""

import json
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer

from cortex_pipelines.serving.engines.engine import BusyError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.authentication import REQUESTS
from cortex_pipelines.serving.security.audit import AuditLog
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines.serving.telemetry import ENDPOINTS, Metrics, TracingError, tracer_of_environment
from cortex_pipelines_tests.serving import tinygateway

SECRET = "the_prompt_that_nobody_keeps"
ASKED = {"model": "docs", "prompt": f"# {SECRET}\n", "max_tokens": 4}
ABOVE = "0af7651916cd43dd8448eb211c80319c"
SENT = {"traceparent": f"00-{ABOVE}-b7ad6b7169203331-01"}


@pytest.fixture
def exported() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def client(gateway: Gateway, exported: InMemorySpanExporter, tmp_path: Path, monkeypatch) -> Iterator[TestClient]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    monkeypatch.setattr(gateway, "tracer", provider.get_tracer("test"))
    with tinygateway.web_client(gateway, keys=KeyRing(tmp_path), audit=AuditLog(tmp_path)) as client:
        yield client


def by_name(exported: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exported.get_finished_spans()}


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_has_its_spans_with_what_answered(client, exported: InMemorySpanExporter, stream: bool) -> None:
    answer = client.post("/v1/completions", json=ASKED | {"stream": stream}, headers=SENT)
    spans = by_name(exported)
    root = spans.pop("POST /v1/completions")
    assert set(spans) == {"context", "queue", "engine", "screening"}
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {ABOVE}
    assert f"{root.parent.span_id:016x}" == "b7ad6b7169203331", "W3C's traceparent"
    assert {span.parent.span_id for span in spans.values() if span.parent} == {root.context.span_id}
    header_attributes = {f"cortex.{name}": answer.headers[f"x-cortex-{name}"] for name in ("way", "version")}
    for name in ("context", "queue", "engine"):
        assert header_attributes.items() <= dict(spans[name].attributes or {}).items()
    attributes = dict(root.attributes or {})
    assert header_attributes.items() <= attributes.items()
    assert attributes["cortex.release"] == answer.headers["x-cortex-release"]
    assert (attributes["http.route"], attributes["http.response.status_code"]) == ("/v1/completions", 200)
    assert (spans["queue"].end_time or 0) <= (spans["engine"].start_time or 0)
    assert (spans["engine"].attributes or {})["gen_ai.usage.output_tokens"] in range(1, 5)
    assert [event.name for event in spans["engine"].events] == ["first token"]


def test_nothing_that_was_asked_or_written_is_in_a_span(client, exported, caplog, monkeypatch, gateway) -> None:
    caplog.set_level(logging.INFO, REQUESTS.name)
    answer = client.post("/v1/completions", json=ASKED).json()["choices"][0]["text"]
    client.get(f"/{SECRET}?q={SECRET}", headers={"user-agent": SECRET})
    client.post("/v1/completions", json=ASKED | {"model": SECRET})
    client.post("/v1/completions", json=ASKED | {"temperature": SECRET})
    failing = Mock(side_effect=RuntimeError(SECRET))
    monkeypatch.setattr(gateway.engine, "_deltas", failing)
    assert client.post("/v1/completions", json=ASKED).status_code == 503
    monkeypatch.setattr(gateway.engine, "prompt", failing)
    assert client.post("/v1/completions", json=ASKED).status_code == 500
    text = "".join(span.to_json() for span in exported.get_finished_spans())
    lines = "".join(record.getMessage() for record in caplog.records if record.name == REQUESTS.name)
    assert text.count("POST /v1/completions") >= 5
    for recorded in (text, lines):
        assert SECRET not in recorded
        assert len(answer) < 4 or json.dumps(answer)[1:-1] not in recorded


def test_what_is_refused_ends_its_spans(client, exported: InMemorySpanExporter, gateway: Gateway, monkeypatch) -> None:
    monkeypatch.setattr(gateway.engine, "submit", Mock(side_effect=BusyError("1 requests wait already")))
    assert client.post("/v1/completions", json=ASKED).status_code == 429
    assert by_name(exported)["queue"].status.description == "BusyError"


def test_lines_of_requests_and_of_the_audit_name_the_trace(client: TestClient, caplog, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO, REQUESTS.name)
    answer = client.post("/v1/completions", json=ASKED, headers=SENT)
    (line,) = [json.loads(each.getMessage()) for each in caplog.records if each.name == REQUESTS.name]
    assert (line["trace"], line["route"], line["status"]) == (ABOVE, "/v1/completions", 200)
    assert line["version"] == answer.headers["x-cortex-version"]
    (entry,) = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
    assert entry["trace"] == ABOVE


def test_without_an_endpoint_nothing_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    with tracer_of_environment() as tracer:
        assert isinstance(tracer, NoOpTracer)
    monkeypatch.setenv(ENDPOINTS[1], "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TracingError, match="OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"), tracer_of_environment():
        pass


@pytest.mark.parametrize("name", [None, "mine"])
def test_spans_are_exported_by_otlp_where_there_is_an_endpoint(monkeypatch, name: str | None) -> None:
    bodies: list[bytes] = []

    def collect(handler: BaseHTTPRequestHandler) -> None:
        assert handler.path == "/v1/traces"
        bodies.append(handler.rfile.read(int(handler.headers["content-length"])))
        handler.send_response(200)
        handler.end_headers()

    if name is not None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    with tinygateway.http_server(collect) as address:
        monkeypatch.setenv(ENDPOINTS[1], address)
        with tracer_of_environment() as tracer:
            tracer.start_span("queue").end()
    (export,) = (ExportTraceServiceRequest.FromString(body) for body in bodies)
    (resource,) = export.resource_spans
    attributes = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert (attributes["service.name"], resource.scope_spans[0].spans[0].name) == (name or "cortex-gateway", "queue")


FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
PROMTOOL = shutil.which("promtool")


def series() -> dict[str, set[str]]:
    labels_by_series: dict[str, set[str]] = {}
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    for collector in list(Metrics().registry._collector_to_names):
        (family,) = collector.collect()
        labels: Any = getattr(collector, "_labelnames", ())
        for suffix in suffixes[family.type]:
            labels_by_series[family.name + suffix] = {*labels, *({"le"} if suffix == "_bucket" else ())}
    return labels_by_series


def test_alerts_and_dashboard_ask_for_what_there_is_in_a_form_that_grafana_reads() -> None:
    labels_by_series, recorded = series(), re.findall(r"record: (\S+)", (FOLDER / "alerts.yaml").read_text())
    assert len(labels_by_series) > 10
    rules = [rule for part in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in part["rules"]]
    panels = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    for expression in (item["expr"] for item in (*rules, *(target for panel in panels for target in panel["targets"]))):
        plain = re.sub(r"cortex:[\w:]+", "", expression)
        assert set(re.findall(r"cortex:[\w:]+", expression)) <= set(recorded)
        for name, selector in re.findall(r"(cortex_\w+)(?:\{([^}]*)\})?", plain):
            assert name in labels_by_series, f"{name} in {expression}"
            label_names = set(re.findall(r"(\w+)=~?\"", selector))
            assert label_names <= labels_by_series[name], f"{label_names - labels_by_series[name]} of {name}"
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool on this machine (Debian: prometheus)")
def test_alerts_fire_when_they_should() -> None:
    words = [str(PROMTOOL), "test", "rules", str(FOLDER / "alerts_test.yaml")]
    process = subprocess.run(words, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
