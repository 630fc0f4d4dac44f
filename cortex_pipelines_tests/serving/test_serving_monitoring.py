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
    return [one["expr"] for one in (*rules, *targets)]


def series() -> dict[str, set[str]]:
    """Every name that can be asked for, and its labels."""
    known: dict[str, set[str]] = {}
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    for collector in list(Metrics().registry._collector_to_names):
        (family,) = collector.collect()
        labels: Any = getattr(collector, "_labelnames", ())
        for suffix in suffixes[family.type]:
            known[family.name + suffix] = {*labels, *({"le"} if suffix == "_bucket" else ())}
    return known


def test_alerts_and_dashboard_ask_for_what_there_is() -> None:
    known, recorded = series(), re.findall(r"record: (\S+)", (FOLDER / "alerts.yaml").read_text())
    assert len(known) > 10
    for expression in expressions():
        plain = re.sub(r"cortex:[\w:]+", "", expression)
        assert set(re.findall(r"cortex:[\w:]+", expression)) <= set(recorded)
        for name, chosen in re.findall(r"(cortex_\w+)(?:\{([^}]*)\})?", plain):
            assert name in known, f"{name} in {expression}"
            asked = set(re.findall(r"(\w+)=~?\"", chosen))
            assert asked <= known[name], f"{asked - known[name]} of {name}"


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    board = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool on this machine (Debian: prometheus)")
def test_alerts_fire_when_they_should() -> None:
    words = [str(PROMTOOL), "test", "rules", str(FOLDER / "alerts_test.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
