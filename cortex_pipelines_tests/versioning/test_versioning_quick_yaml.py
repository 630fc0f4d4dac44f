from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml
import yaml
from dvc import fs, output
from dvc.repo import Repo
from dvc.utils import strictyaml
from dvc.utils.serialize import _yaml
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.projects.parameter_file import to_yaml
from cortex_pipelines.versioning.dvc.quick_yaml import parsed_lock, quicken_dvc
from cortex_pipelines.versioning.dvc.yaml_files import YamlTextError, parse_yaml
from cortex_pipelines_tests.integration.miniproject import REPOSITORY
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.versioning.toy import Workbench

CASES = load_cases(__file__)


def test_a_run_parses_no_stage_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # names of its own, or texts that an earlier test's toy left in this process need no parsing
    bench = Workbench.create(tmp_path / "toy", ("parsed", "once"))
    parsed: Counter[str] = Counter()
    slow: list[str] = []
    load, slow_load = yaml.load, ruamel.yaml.YAML.load

    def count_parses(stream: Any, *loader: Any, **named: Any) -> Any:
        parsed[str(stream)] += 1
        return load(stream, *loader, **named)

    def counted_slowly(self: Any, stream: Any) -> Any:
        if "\nstages:\n" in str(stream):
            slow.append(str(stream))
        return slow_load(self, stream)

    monkeypatch.setattr(yaml, "load", count_parses)
    monkeypatch.setattr(ruamel.yaml.YAML, "load", counted_slowly)
    bench.run_all()
    stages = Counter({text: times for text, times in parsed.items() if text.startswith("  ")})
    assert len(stages) > 5  # each stage after its commit
    assert set(stages.values()) == {1}
    assert not [text for text in parsed if text.startswith("schema: ") and "\nstages:" in text]
    lock_parses = [times for text, times in parsed.items() if "\nstages:" in text]  # dvc.yaml
    assert lock_parses in ([], [1])  # the toys' are alike: an earlier one's may be remembered
    assert not slow


def test_a_lock_that_is_updated_is_written_as_dvc_writes_it(bench: Workbench) -> None:
    quicken_dvc()
    bench.run_all()
    text = (bench.root / "dvc.lock").read_text()
    assert _yaml.dumps_yaml(ruamel.yaml.YAML().load(text)) == text
    assert _yaml.dumps_yaml(_yaml.parse_yaml_for_update(text, "dvc.lock")) == text


def test_small_numbers_are_parsed_quickly() -> None:
    lock = "schema: '2.0'\nstages:\n  one:\n    params:\n      rate: 5e-05\n      least: -2.5e-10\n      most: 1e+20\n"
    assert parsed_lock(lock) == ruamel.yaml.YAML(typ="safe").load(lock)


def test_what_is_parsed_may_be_changed() -> None:
    quicken_dvc()
    strictyaml.parse_yaml("a: {b: [1]}", "dvc.lock")["a"]["b"].append(2)
    assert strictyaml.parse_yaml("a: {b: [1]}", "dvc.lock") == {"a": {"b": [1]}}


def test_comments_outside_of_a_lock_are_kept() -> None:
    quicken_dvc()
    text = "a: 1 # why\n"
    assert _yaml.dumps_yaml(_yaml.parse_yaml_for_update(text, "some/dvc.yaml")) == text


def test_a_damaged_file_is_named_each_time() -> None:
    quicken_dvc()
    for name in ("dvc.lock", "dvc.yaml"):
        with pytest.raises(strictyaml.YAMLFileCorruptedError, match=name):
            strictyaml.parse_yaml("a: [", name)


@pytest.mark.parametrize("text", CASES["TEXTS"])
def test_text_means_what_it_means_to_dvc(text: str) -> None:
    quicken_dvc()
    in_dvcs_way = ruamel.yaml.YAML(typ="safe").load(text) or {}
    assert repr(strictyaml.parse_yaml(text, "dvc.lock")) == repr(in_dvcs_way)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_dvc_wrote_is_read_as_dvc_reads_it(value: Any) -> None:
    quicken_dvc()
    text = _yaml.dumps_yaml({"a": value})
    in_dvcs_way = ruamel.yaml.YAML(typ="safe").load(text)
    assert repr(strictyaml.parse_yaml(text, "dvc.lock")) == repr(in_dvcs_way)


STAGE = CASES["STAGE"]
LOCKS = (
    STAGE,
    STAGE + "  two: {outs: [{md5: 007}]}\n",
    STAGE + "  two: {outs: [{md5: *digest}]}\n",
    STAGE + "  # a comment\n  two:\n    cmd: 'it''s' # another\n",
    STAGE + "\n  two: 1\n",
    STAGE + "  1: a\n  'true': b\n",
    '  one: "a\n  two: b"\n',
    "  one: [1,\n  2]\n",
    "  one\n",
)


@pytest.mark.parametrize("stages", LOCKS)
def test_a_lock_means_what_it_means_to_dvc(stages: str) -> None:
    quicken_dvc()
    text = f"schema: '2.0'\nstages:\n{stages}"
    in_dvcs_way = ruamel.yaml.YAML(typ="safe").load(text)
    assert repr(strictyaml.parse_yaml(text, "dvc.lock")) == repr(in_dvcs_way)
    assert repr(parse_yaml(text.encode(), "dvc.lock")) == repr(in_dvcs_way)


REFUSED = ("a: 1\na: 2", "a: {b: 1, b: 2}", "a: *unknown", "a: =", "1: a\ntrue: b", "a:\n\t- b")
REFUSED_LOCKS = tuple(
    f"schema: '2.0'\nstages:\n{stages}" for stages in ("  one: 1\n  one: 2\n", "  one: *x\n", "  one: [1\n")
)


@pytest.mark.parametrize("text", REFUSED + REFUSED_LOCKS)
def test_what_dvc_refuses_is_refused(text: str) -> None:
    quicken_dvc()
    with pytest.raises(strictyaml.YAMLFileCorruptedError, match=r"dvc\.lock"):
        strictyaml.parse_yaml(text, "dvc.lock")
    if text in REFUSED_LOCKS:
        with pytest.raises(YamlTextError, match=r"dvc\.lock cannot be read"):
            parse_yaml(text.encode(), "dvc.lock")


def test_the_real_lock_is_read_and_written_as_by_dvc() -> None:
    quicken_dvc()
    assert "a: null" in to_yaml({"a": None})  # parameters are written in another way
    text = (REPOSITORY / "dvc.lock").read_text()
    assert strictyaml.parse_yaml(text, "dvc.lock") == ruamel.yaml.YAML(typ="safe").load(text)
    assert _yaml.dumps_yaml(_yaml.parse_yaml_for_update(text, "dvc.lock")) == text


@pytest.mark.parametrize("url", ["data/words/a", "/data", "../x y", "a:b", "s3://bucket/key"])
@pytest.mark.parametrize("jobs", [None, 3])
def test_where_a_path_is_is_what_dvc_says(url: str, jobs: int | None) -> None:
    quicken_dvc()
    config = {"core": {"checksum_jobs": jobs} if jobs else {}}
    assert output.get_cloud_fs(config, url=url) == fs.get_cloud_fs(config, url=url)


def test_a_lock_of_another_form_is_still_refused(bench: Workbench) -> None:
    bench.run_all()
    lock = bench.root / "dvc.lock"
    original = lock.read_text()
    for damaged in ("stages: 3\n", original.replace("md5:", "md6:"), original.replace("outs:", "out:")):
        lock.write_text(damaged)
        for _ in range(2):
            with pytest.raises(strictyaml.YAMLValidationError), Repo(str(bench.root)) as repo:
                repo.index.stages  # noqa: B018
    lock.write_text(original)
    with Repo(str(bench.root)) as repo:
        assert repo.index.stages
