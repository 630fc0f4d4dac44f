import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import MEASUREMENTS, SHAPES, _measure_one, _write_rows, main


def test_this_loop_and_transformers_trainer_learn_the_same_from_the_same_rows(tmp_path: Path) -> None:
    chosen = [entry for entry in MEASUREMENTS if entry.name in ("ours-4k", "ours-eager-4k", "trainer-4k", "ours-32k")]
    _write_rows(SHAPES["tiny"], chosen, tmp_path)
    results: dict[str, dict[str, Any]] = {}
    for entry in chosen:
        _measure_one(entry, "tiny", tmp_path)
        results[entry.name] = json.loads((tmp_path / f"{entry.name}.json").read_text())
        assert "failed" not in results[entry.name]
        assert results[entry.name]["tokens_per_second"] > 0
    assert results["ours-4k"]["losses"] == pytest.approx(results["trainer-4k"]["losses"], abs=1e-4)
    assert results["ours-4k"]["losses"][-1] < results["ours-4k"]["losses"][0]
    assert results["ours-4k"]["kernels"] == {"fused_lora": 21, "attention_by_example": True, "chunked_output": False}
    assert (results["ours-4k"]["blocks_recomputed"], len(results["ours-32k"]["losses"])) == (3, 3)


@pytest.mark.slow
def test_a_measurement_that_cannot_run_is_a_row_with_the_reason(tmp_path: Path, capsys: Any) -> None:
    main(["--out", str(tmp_path), "--shape", "tiny", "--only", "trainer-liger-4k", "--seconds", "60"])
    main(["--out", str(tmp_path), "--shape", "tiny", "--only", "ours-4k", "--seconds", "0"])
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [row["failed"] for row in rows] == ["RuntimeError: Liger's kernels need a GPU", "not begun: 0 s were left"]
    assert "Liger's kernels need a GPU" in capsys.readouterr().out
