"""Let DVC read each text of ``dvc.yaml`` and ``dvc.lock`` once, and write only what changed.

DVC parses and checks both again for every question to a repository and writes the whole lock for
every stage, all in pure Python: for a lock of a hundred stages two seconds to parse and one to
write. That would be more than half of the time of a run of small assets.
"""

import pickle  # nosec B403: of what this process has parsed
import re
from collections import OrderedDict
from functools import cache, lru_cache
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

_TEXTS = 8
"""``dvc.yaml`` and ``dvc.lock``, before and after the last few commits."""

_STAGES = 10_000
"""Stages whose text is remembered; a lock of a hundred is some 300 kB."""

_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?")


class _Yaml12(yaml.CSafeLoader):
    """Parser in C of what YAML 1.2 and 1.1 write alike; an error for everything else."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            raise ConstructorError(None, None, "a key is there twice", node.start_mark)
        return found

    def construct_decimal(self, node: Any) -> int | float:
        if not _DECIMAL.fullmatch(node.value):
            raise ConstructorError(None, None, "no plain decimal number", node.start_mark)
        return float(node.value) if "." in node.value else int(node.value)


def _read_as_yaml12() -> None:
    """Tell the parser which words are no text, from the list of DVC's own parser.

    Of other tags it makes nothing: its constructor of what is undefined raises.
    """
    from ruamel.yaml.resolver import implicit_resolvers

    _Yaml12.yaml_implicit_resolvers = {}
    for versions, tag, pattern, first in implicit_resolvers:
        if (1, 2) in versions:
            _Yaml12.add_implicit_resolver(tag, pattern, first)
    _Yaml12.yaml_constructors = {
        tag: construct
        for tag, construct in SafeConstructor.yaml_constructors.items()
        if tag is None or tag.split(":")[-1] in {"null", "bool", "seq", "map", "str"}
    }
    for kind in ("int", "float"):
        _Yaml12.yaml_constructors[f"tag:yaml.org,2002:{kind}"] = _Yaml12.construct_decimal


@cache
def quicken_dvc() -> None:
    """Remember what the latest texts say and how stages are written, in this process.

    A lock is also changed by what is remembered of it. DVC would parse it once more for that, in a
    way that keeps comments; written by DVC, it has none.
    """
    from dvc.dvcfile import LOCK_FILE
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    parse, parse_for_update = strictyaml.parse_yaml, _yaml.parse_yaml_for_update
    validate, dump = strictyaml.validate, _yaml._dump
    valid: OrderedDict[tuple[str, int], Any] = OrderedDict()
    _read_as_yaml12()

    @lru_cache(maxsize=_TEXTS)
    def pickled(text: str) -> bytes:
        try:
            found = yaml.load(text, _Yaml12) or {}  # nosec B506: safe
        except (yaml.YAMLError, ValueError):
            found = parse(text, "")
        return pickle.dumps(found)

    def remembered(text: str, path: str, typ: str = "safe") -> Any:
        if typ != "safe":
            return parse(text, path, typ)
        try:
            # unpickled anew each time, because DVC changes what it is given
            return pickle.loads(pickled(text))  # nosec B301: of this process's own making
        except strictyaml.YAMLFileCorruptedError:
            return parse(text, path)  # whose error names the file

    def remembered_for_update(text: str, path: str) -> Any:
        lock = Path(path).name == LOCK_FILE
        return remembered(text, path) if lock else parse_for_update(text, path)

    def validated(data: Any, schema: Any, text: str | None = None, *where: Any, **more: Any) -> Any:
        key = (text or "", id(schema))
        if text and key in valid:
            return data
        found = validate(data, schema, text, *where, **more)
        valid[key] = schema  # held, or another one could get its identity
        if len(valid) > _TEXTS:
            valid.popitem(last=False)
        return found

    def written(part: Any) -> str:
        text = StringIO()
        dump(part, text)
        return text.getvalue()

    @lru_cache(maxsize=_STAGES)
    def stage_written(stage: bytes) -> str:
        # below the key, because lines are broken by how far they are indented
        text = written({"stages": dict([pickle.loads(stage)])})  # nosec B301: as above
        return text.removeprefix("stages:\n")

    def dump_changed(data: Any, stream: TextIO) -> None:
        if set(data) != {"schema", "stages"} or not data["stages"]:
            dump(data, stream)
            return
        for key, value in data.items():
            if key == "stages":
                stages = (stage_written(pickle.dumps(stage)) for stage in value.items())
                stream.write("stages:\n" + "".join(stages))
            else:
                stream.write(written({key: value}))

    strictyaml.parse_yaml = _yaml.parse_yaml = remembered
    strictyaml.validate = validated
    _yaml.parse_yaml_for_update = remembered_for_update
    _yaml._dump = dump_changed
