import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.main import main
from cortex_pipelines.schemas.evaluation import GENERATIONS
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
PARAMETERS = CASES["PARAMETERS"]
ADAPTER = CASES["ADAPTER"]


def write(path: Path, figures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures))


def summary_text(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(main, ["summary"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_a_summary_gives_scores_with_intervals_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "p"
    root.mkdir()
    (root / "params.yaml").write_text(PARAMETERS)
    before = summary_text(root, monkeypatch)
    assert "shop 0 0 0 not made yet" in before
    assert "No model is evaluated yet: `cortex run` makes what is missing." in before
    data = root / "data"
    (data / "code_units/shop").mkdir(parents=True)
    pl.DataFrame({"name": ["a", "b"]}).write_parquet(data / "code_units/shop/units.parquet")
    for task, rows in (("completion", 20), ("naming", 3)):
        write(data / f"{task}_dataset/shop/metrics.json", {"rows_train": rows, "rows_test": 99})
    write(data / "code_adapter_evaluation/shop/metrics.json", ADAPTER)
    (data / "code_adapter_evaluation/shop/report.html").write_text("")
    verdict = {"verdict": "kept", "reason": "too few", "model_version": "0" * 32}
    write(data / "code_adapter_release/shop/verdict.json", verdict)
    after = summary_text(root, monkeypatch)
    assert missing(after, "shop 0 2 23", "code_adapter-shop: kept too few") == []
    assert "questions answered correctly 66% base model 57% +9 (-1 to +13) points 134" in after
    assert "12.85 base model 12.80 -0.5 (-2.9 to +2.6) % 48" in after
    assert "bits per byte" not in after  # nothing was measured on completions
    assert "data/code_adapter_evaluation/shop/report.html" in after
    assert "shop: not promoted, its verdict is `kept`: `shop` is answered without an adapter" in after
    write(data / "compliance/shop/compliance.json", {"problems": ["2 files hold <keys>"]})
    assert CliRunner().invoke(main, ["report", "--no-open"], catch_exceptions=False).exit_code == 0
    page = (root / ".cortex/report.html").read_text()
    words = [
        *("shop: 23 training examples", "code_adapter-shop: kept back.", "shop: 2 files hold &lt;keys&gt;."),
        *("Read why code_adapter-shop is kept back", "--despite-gate", "the base model answers", "too few"),
        'href="../data/code_adapter_evaluation/shop/report.html"',
    ]
    assert missing(page, *words) == []


def test_a_summary_ends_with_the_first_completions_of_both_models_and_what_is_served(tmp_path, monkeypatch) -> None:
    root = tmp_path / "p"
    root.mkdir()
    (root / "params.yaml").write_text(PARAMETERS)
    folder = root / "data/code_adapter_evaluation/shop"
    gain = {
        f"{name}{end}": value
        for name in ("completion_improvement_over_base", "foreign_improvement")
        for end, value in (("", 0.05), ("_low", 0.02), ("_high", 0.08))
    }
    write(folder / "metrics.json", ADAPTER | gain)
    row = {"sample": 0, "expected": "return 0", "path": "a.py", "language": "python"}
    row |= {"kind": "", "cluster": "", "exact_match": False, "right": False, "edit_similarity": 0.0}
    rows = [
        row
        | {
            "example_id": example,
            "task": task,
            "role": role,
            "prompt": f"import os\n\ndef {example}(\n):",
            "output": f"    {role}_{example}" + 9 * "\n    more",
        }
        for task, examples in (("completion", "dcba"), ("naming", "_"))
        for example in examples
        for role in ("challenger", "base")
    ]
    GENERATIONS.frame(rows).write_parquet(folder / "generations.parquet")
    version = "0" * 32
    write(root / "data/code_adapter_release/shop/verdict.json", {"verdict": "promoted", "model_version": version})
    text = summary_text(root, monkeypatch)
    expected = [f"{role}_{example}" for example in "abc" for role in ("base", "challenger")]
    assert [word for word in text.split() if word.startswith(("base_", "challenger_"))] == expected
    assert text.count("return 0") == text.count("def ") == 3
    assert "import os" not in text
    assert text.count("…") == 6
    saved = "+0.050 (+0.020 to +0.080)"
    assert f"over the base: {saved}; on other code, the control: {saved} shop: not promoted" in text
    assert "its verdict is `promoted`" in text
    champion = {"champions": {"code_adapter": {"shop": {"champion": version, "previous": None}}}}
    (root / "releases.lock").write_text(json.dumps(champion) + "\n")
    assert "shop: promoted; `cortex serve` answers with it as `shop`" in summary_text(root, monkeypatch)
