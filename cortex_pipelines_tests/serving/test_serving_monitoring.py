"""Alerts and dashboard ask for metrics that the gateway has, and fire when they should."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex_pipelines.serving.metrics import Metrics

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
PROMTOOL = shutil.which("promtool")


def expressions() -> list[str]:
    alerts = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    board = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    targets = [target for panel in board["panels"] for target in panel["targets"]]
    return [item["expr"] for item in (*rules, *targets)]


def series() -> dict[str, set[str]]:
    """Every name that can be asked for, and its labels."""
    labels_by_series: dict[str, set[str]] = {}
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    for collector in list(Metrics().registry._collector_to_names):
        (family,) = collector.collect()
        labels: Any = getattr(collector, "_labelnames", ())
        for suffix in suffixes[family.type]:
            labels_by_series[family.name + suffix] = {*labels, *({"le"} if suffix == "_bucket" else ())}
    return labels_by_series


def test_alerts_and_dashboard_ask_for_what_there_is() -> None:
    labels_by_series, recorded = (series(), re.findall(r"record: (\S+)", (FOLDER / "alerts.yaml").read_text()))
    assert len(labels_by_series) > 10
    for expression in expressions():
        plain = re.sub(r"cortex:[\w:]+", "", expression)
        assert set(re.findall(r"cortex:[\w:]+", expression)) <= set(recorded)
        for name, selector in re.findall(r"(cortex_\w+)(?:\{([^}]*)\})?", plain):
            assert name in labels_by_series, f"{name} in {expression}"
            label_names = set(re.findall(r"(\w+)=~?\"", selector))
            assert label_names <= labels_by_series[name], f"{label_names - labels_by_series[name]} of {name}"


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    board = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    positions = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(positions) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool on this machine (Debian: prometheus)")
def test_alerts_fire_when_they_should() -> None:
    words = [str(PROMTOOL), "test", "rules", str(FOLDER / "alerts_test.yaml")]
    process = subprocess.run(words, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
