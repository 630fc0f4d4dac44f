from pathlib import Path

from click.testing import CliRunner

from cortex_pipelines.catalog import open_project
from cortex_pipelines.cli.data_tables import FILE, render
from cortex_pipelines.cli.main import main
from cortex_pipelines.versioning.project import find_root

ROOT = Path(__file__).parents[1]


def test_the_file_is_what_the_declarations_say_of_every_column() -> None:
    assert (ROOT / FILE).read_text(encoding="utf-8") == render(open_project(ROOT)), "run `cortex dictionary`"
    project = open_project(find_root(ROOT))
    text = render(project)
    for asset in project.graph.order:
        for table in asset.tables:
            assert f"### {table.name}.parquet" in text
            assert all(f"| `{column.name}` |" in text for column in table.columns)


def test_check_fails_on_a_file_of_before(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    result = CliRunner().invoke(main, ["dictionary", "--check"])
    assert result.exit_code == 1
    assert "run `cortex dictionary`" in result.output
    assert CliRunner().invoke(main, ["dictionary"]).exit_code == 0
    assert CliRunner().invoke(main, ["dictionary", "--check"]).exit_code == 0
