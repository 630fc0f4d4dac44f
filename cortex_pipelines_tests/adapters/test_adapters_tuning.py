from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner, Result

from cortex_pipelines.adapters import autotune
from cortex_pipelines.adapters.autotune import Throughput, fastest_setting, measure_throughput
from cortex_pipelines.cli.main import main
from cortex_pipelines.config import load_parameters
from cortex_pipelines_tests.adapters.tinymodel import pinned, settings

SPEEDS = [Throughput("fp32", 384, 100.0), Throughput("bf16", 384, 160.0), Throughput("bf16", 768, 155.0)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the repository's parameters, and precision ``auto``."""
    (tmp_path / "params.yaml").write_text(
        "projects: {}\nadapters:\n  precision: auto # measured\n  max_length: 512 # of a row\n  rank: 4 # small\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tune(*arguments: str) -> Result:
    with mock.patch("cortex_pipelines.adapters.autotune.measure_throughput", return_value=SPEEDS) as measured:
        result = CliRunner().invoke(main, ["tune-machine", *arguments])
    assert result.exit_code == 0, result.output
    assert measured.called == ("nothing to do" not in result.stderr)
    return result


def test_candidates_are_trained_and_the_longest_nearly_as_fast_row_is_chosen(root: Path) -> None:
    speeds = measure_throughput(pinned(root), settings(precision="auto"), root, lengths=(64, 96))
    names = [(setting.precision, setting.max_length) for setting in speeds]
    assert names[:3] == [("fp32", 64), ("fp32", 96), ("bf16", 64)]
    assert all(setting.tokens_per_second > 0 for setting in speeds)
    assert fastest_setting(SPEEDS) == Throughput("bf16", 768, 155.0)
    assert fastest_setting([*SPEEDS, Throughput("bf16", 1024, 140.0)]) == Throughput("bf16", 768, 155.0)
    assert fastest_setting([*SPEEDS, Throughput("fp32", 512, 200.0)]) == Throughput("fp32", 512, 200.0)


@pytest.mark.parametrize(("of_bf16", "lengths"), [(60.0, (64, 96)), (40.0, (64,))])
def test_a_precision_that_is_far_slower_is_measured_once(root: Path, of_bf16: float, lengths: tuple[int, ...]) -> None:
    speeds = {"fp32": 100.0, "bf16": of_bf16}
    with mock.patch.object(autotune, "_tokens_per_second", lambda *arguments: speeds[arguments[2]]):
        throughputs = measure_throughput(pinned(root), settings(precision="auto"), root, lengths=(64, 96))
    assert tuple(setting.max_length for setting in throughputs if setting.precision == "bf16") == lengths


def test_what_was_measured_is_written_once_and_comments_stay(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    assert "best" in tune("--dry-run").output
    assert (project / "params.yaml").read_text() == before
    tune()
    after = (project / "params.yaml").read_text()
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line.split("#")[0].strip() for line in changed] == ["precision: bf16", "max_length: 768"]
    assert all("#" in line for line in changed)
    adapters = load_parameters(project).adapters
    assert (adapters.precision, adapters.max_length) == ("bf16", 768)
    assert "nothing to do" in tune().stderr
    assert (project / "params.yaml").read_text() == after
