"""Let DVC parse each text of ``dvc.yaml`` and ``dvc.lock`` once.

DVC parses both again for every question to a repository, by a parser in pure Python that takes half
a second for a lock of fifty stages: more than half of the time of a run of small assets.
"""

import pickle  # nosec B403: of what this process has parsed
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

_TEXTS = 8
"""``dvc.yaml`` and ``dvc.lock``, before and after the last few commits."""


@cache
def remember_parsed() -> None:
    """Remember what the latest texts say, in this process.

    A lock is also changed by what is remembered of it. DVC would parse it once more for that, in a
    way that keeps comments; written by DVC, it has none.
    """
    from dvc.dvcfile import LOCK_FILE
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    parse, parse_for_update = strictyaml.parse_yaml, _yaml.parse_yaml_for_update

    @lru_cache(maxsize=_TEXTS)
    def pickled(text: str) -> bytes:
        return pickle.dumps(parse(text, ""))

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

    strictyaml.parse_yaml = remembered
    _yaml.parse_yaml_for_update = remembered_for_update
