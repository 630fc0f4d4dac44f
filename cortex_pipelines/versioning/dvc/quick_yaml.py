"""Read and write of ``dvc.yaml`` and ``dvc.lock`` only what is new, also within DVC.

DVC parses and checks both again for every question to a repository and writes the whole lock for every stage, all in
pure Python: for a lock of a hundred stages two seconds to parse and one to write. That would be more than half of the
time of a run of small assets.
"""

import pickle  # nosec B403: of what this process has parsed
import re
from functools import cache, lru_cache
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import yaml
from cachetools import FIFOCache
from yaml.constructor import ConstructorError, SafeConstructor

_TEXTS = 8
"""``dvc.yaml`` and ``dvc.lock``, before and after the last few commits."""
_STAGES = 10_000  # stages whose text is remembered; a lock of a hundred is some 300 kB
_LOCK = re.compile(r"(schema: [^\n]*\n)stages:\n((?:  [^\n]*\n)+)")
_STAGE = re.compile(r"  [^ \n][^\n]*\n(?:   [^\n]*\n)*")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)(?P<real>(\.[0-9]+)?(e[-+]?[0-9]+)?)")


class _Yaml12(yaml.CSafeLoader):
    """Parser in C of what YAML 1.2 and 1.1 write alike; an error for everything else."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise ConstructorError(None, None, "a key is there twice", node.start_mark)
        return mapping

    def construct_decimal(self, node: Any) -> int | float:
        number = _DECIMAL.fullmatch(node.value)
        if number is None:
            raise ConstructorError(None, None, "no plain decimal number", node.start_mark)
        return float(node.value) if number["real"] else int(node.value)


@cache
def _read_as_yaml12() -> None:
    """Tell the parser which words are not text, from the list of DVC's own; other tags raise."""
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


def parsed_lock(text: str) -> dict[str, Any] | None:
    """What a lock says, each of its stages parsed once; None for what is better parsed whole.

    The text is divided where DVC begins a stage. A stage that does not parse alone, like one that refers to another's
    anchor, does not raise an error: the complete text decides.
    """
    form, parts = _divided(text)
    if form is None:
        return None
    try:
        # unpickled each time, because the caller may change it
        pairs = [pickle.loads(_pair(part)) for part in parts]  # nosec B301: of this process
        lock = dict(_quickly(form[1]))
    except (yaml.YAMLError, ValueError):
        return None
    stages = dict(pairs)
    return {**lock, "stages": stages} if len(stages) == len(parts) else None


def stage_texts(text: str) -> dict[str, tuple[Any, str]] | None:
    _, parts = _divided(text)
    try:
        pairs = [(pickle.loads(_pair(part)), part) for part in parts]  # nosec B301: as above
    except (yaml.YAMLError, ValueError):
        return None
    return {name: (entry, part) for (name, entry), part in pairs}


def _divided(text: str) -> tuple[re.Match[str] | None, list[str]]:
    form = _LOCK.fullmatch(text)
    parts = _STAGE.findall(form[2]) if form else []
    return (form, parts) if form and sum(map(len, parts)) == len(form[2]) else (None, [])


_read: FIFOCache[bytes, str] = FIFOCache(_STAGES)  # what ``_pair`` gave, and of which text


@lru_cache(maxsize=_STAGES)
def _pair(part: str) -> bytes:
    """A stage's name and what a lock says of it, pickled."""
    parsed = _quickly(part)
    if not isinstance(parsed, dict) or len(parsed) != 1:
        raise ValueError("no stage")
    pair = pickle.dumps(next(iter(parsed.items())))
    _read[pair] = part
    return pair


def parsed_quickly(text: str) -> Any:
    """A text as plain values; None for what only the parser of YAML 1.2 can say."""
    try:
        return None if text.startswith("%") else _quickly(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return None


def _quickly(text: str) -> Any:
    _read_as_yaml12()
    return yaml.load(text, _Yaml12)  # nosec B506: safe


@cache
def quicken_dvc() -> None:
    """Remember what the latest texts say, how stages are written and where local paths are, in this process.

    A lock is also changed by what is remembered of it. DVC would parse it once more for that, in a way that keeps
    comments; written by DVC, it has none.
    """
    from dvc import output
    from dvc.dvcfile import LOCK_FILE
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    parse, parse_for_update = strictyaml.parse_yaml, _yaml.parse_yaml_for_update
    validate, dump = strictyaml.validate, _yaml._dump
    valid: FIFOCache[tuple[str, int], Any] = FIFOCache(_TEXTS)

    @lru_cache(maxsize=_TEXTS)
    def pickled(text: str) -> bytes:
        try:
            parsed = parsed_lock(text) or _quickly(text) or {}
        except (yaml.YAMLError, ValueError):
            parsed = parse(text, "")
        return pickle.dumps(parsed)

    def remembered(text: str, path: str, typ: str = "safe") -> Any:
        if typ != "safe":
            return parse(text, path, typ)
        try:
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
        parsed = validate(data, schema, text, *where, **more)
        valid[key] = schema  # held, or another one could get its identity
        return parsed

    def dump_quoted(part: Any) -> str:
        text = StringIO()
        dump(part, text)
        return text.getvalue()

    @lru_cache(maxsize=_STAGES)
    def stage_written(stage: bytes) -> str:
        if stage in _read:
            return _read[stage]
        # below the key, because lines are broken by how far they are indented
        text = dump_quoted({"stages": dict([pickle.loads(stage)])})  # nosec B301: as above
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
                stream.write(dump_quoted({key: value}))

    cloud_fs = output.get_cloud_fs

    @cache
    def local_fs(checksum_jobs: int | None) -> tuple[Any, dict[str, Any]]:
        kind, settings, _ = cloud_fs({"core": {"checksum_jobs": checksum_jobs}}, url=".")
        return kind, settings

    def quick_fs(config: Any, **wanted: Any) -> tuple[Any, dict[str, Any], str]:
        # DVC checks the same settings again for each of all paths
        if wanted.keys() != {"url"} or ":" in wanted["url"]:
            return cloud_fs(config, **wanted)  # type: ignore[no-any-return]
        kind, settings = local_fs((config or {}).get("core", {}).get("checksum_jobs"))
        return kind, dict(settings), kind._strip_protocol(wanted["url"])

    output.get_cloud_fs = quick_fs
    strictyaml.parse_yaml = _yaml.parse_yaml = remembered
    strictyaml.validate = validated
    _yaml.parse_yaml_for_update = remembered_for_update
    _yaml._dump = dump_changed
