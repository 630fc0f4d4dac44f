from pathlib import Path

import pytest

from cortex_pipelines.versioning.content import content_md5, value_md5
from cortex_pipelines.versioning.project import ProjectError, find_root, read_yaml, write_yaml
from cortex_pipelines_tests.versioning.toy import Workbench


def test_the_nearest_folder_with_parameters_is_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "p" / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "p" / "params.yaml").touch()
    assert find_root(deep) == (tmp_path / "p").resolve()
    monkeypatch.setenv("CORTEX_ROOT", str(deep))
    assert find_root() == (tmp_path / "p").resolve()
    with pytest.raises(ProjectError, match="change to a project's folder first, or make one: `cortex init FOLDER`"):
        find_root(tmp_path)


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    assert read_yaml(file) == {}
    file.write_text("")
    assert read_yaml(file) == {}
    file.write_text("on: yes\nnumber: 1e-3\nplace: 012\n")
    assert read_yaml(file) == {"on": "yes", "number": 0.001, "place": 12}
    write_yaml(file, {"b": [1, {"c": None}], "a": "ü"})
    assert read_yaml(file) == {"b": [1, {"c": None}], "a": "ü"}
    assert file.read_text().startswith("b:"), "order is kept"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.yaml"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: [1", "x.yaml cannot be read: line 1: while parsing"),
        (b"a: 1\na: 2", "duplicate key"),
        (b"a: \xff", "x.yaml cannot be read: "),
        (b"- a", "x.yaml: expected keys and values at the top, found list"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path: Path, data: bytes, words: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(data)
    with pytest.raises(ProjectError, match=words):
        read_yaml(file)


def test_a_section_with_wrong_keys_names_them(bench: Workbench) -> None:
    bench.edit("params.yaml", lambda v: v["loudness"].update(prefix="x"))
    with pytest.raises(ProjectError, match=r"loudness\.prefix: Extra inputs .* \(found 'x'\)"):
        bench.project()
    bench.edit("params.yaml", lambda v: v.update(loudness=None))
    with pytest.raises(ProjectError, match=r"yaml: line \d: loudness: Input .*; give keys and val"):
        bench.project()


def test_a_project_name_that_no_stage_can_have(bench: Workbench) -> None:
    bench.edit("params.yaml", lambda v: v["projects"].update({"a@b": {}}))
    with pytest.raises(ProjectError, match=r"projects\.a@b: a project's name has 1 to 64"):
        bench.project()


def test_content_counts_and_caches_do_not(tmp_path: Path) -> None:
    assert content_md5(tmp_path / "none") is None
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.py").write_text("x")
    before = content_md5(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("y")
    assert content_md5(tmp_path) == before
    (tmp_path / "sub" / "a.py").rename(tmp_path / "sub" / "b.py")
    assert content_md5(tmp_path) != before
    assert value_md5({"a": 1, "b": 2}) == value_md5({"b": 2, "a": 1})


def test_parameters_are_resolved_once_for_all_partitions_of_a_pin(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, calls = bench.project(), list[Path]()
    resolve = project._resolve
    monkeypatch.setattr(project, "_resolve", lambda root: calls.append(root) or resolve(root))
    pin = next(pin for pin in project.graph.pins.values() if pin.partitioned)
    versions = project.pin_versions(pin, project.partitions)
    assert len(calls) == 1
    assert len(set(versions.values())) == len(project.partitions) > 1
    bench.edit("sources.lock", lambda v: v["projects"].update({project.partitions[0]: ["another"]}))
    changed = project.pin_versions(pin, project.partitions)
    assert [name for name in versions if versions[name] != changed[name]] == [project.partitions[0]]
