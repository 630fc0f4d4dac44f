"""DVC's files are parsed once a text, and say the same as without that."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml
from dvc.utils import strictyaml
from dvc.utils.serialize import _yaml

from cortex_pipelines.versioning.dvc.parsed_once import remember_parsed
from cortex_pipelines_tests.versioning.toy import Workbench


def test_a_run_parses_no_text_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Workbench.create(tmp_path / "toy")
    parsed: Counter[str] = Counter()
    load = ruamel.yaml.YAML.load

    def counted(self: Any, stream: Any) -> Any:
        text = str(stream)
        if "\nstages:\n" in text:  # dvc.yaml or dvc.lock
            parsed[text] += 1
        return load(self, stream)

    monkeypatch.setattr(ruamel.yaml.YAML, "load", counted)
    bench.run_all()
    assert len(parsed) > 5  # a lock after each commit
    assert set(parsed.values()) == {1}


def test_a_lock_that_is_updated_is_written_as_dvc_writes_it(tmp_path: Path) -> None:
    remember_parsed()
    bench = Workbench.create(tmp_path / "toy")
    bench.run_all()
    text = (bench.root / "dvc.lock").read_text()
    in_dvcs_way = ruamel.yaml.YAML().load(text)
    assert _yaml.dumps_yaml(in_dvcs_way) == text
    assert _yaml.dumps_yaml(_yaml.parse_yaml_for_update(text, "dvc.lock")) == text


def test_what_is_parsed_may_be_changed() -> None:
    remember_parsed()
    first = strictyaml.parse_yaml("a: {b: [1]}", "dvc.lock")
    first["a"]["b"].append(2)
    assert strictyaml.parse_yaml("a: {b: [1]}", "dvc.lock") == {"a": {"b": [1]}}


def test_comments_outside_of_a_lock_are_kept() -> None:
    remember_parsed()
    text = "a: 1 # why\n"
    assert _yaml.dumps_yaml(_yaml.parse_yaml_for_update(text, "some/dvc.yaml")) == text


def test_a_damaged_file_is_named_each_time() -> None:
    remember_parsed()
    for name in ("dvc.lock", "dvc.yaml"):
        with pytest.raises(strictyaml.YAMLFileCorruptedError, match=name):
            strictyaml.parse_yaml("a: [", name)
