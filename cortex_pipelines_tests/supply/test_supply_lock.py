"""The lock files name the same packages as constraints.txt, each with its hashes."""

import re
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([\w.-]+)(?:\[[\w, -]+\])?==([^\s\\;]+)", re.MULTILINE)
LOCKS = ("requirements.lock", "weights.lock")


def pins(*names: str) -> dict[str, str]:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in names]
    return {canonicalize_name(name): pin for text in texts for name, pin in PIN.findall(text)}


def test_lock_and_constraints_name_the_same_versions() -> None:
    locked, pinned = pins(*LOCKS), pins("constraints.txt")

    assert len(pinned) > 200
    assert locked == pinned, "run `make lock` and commit the lock files"


def test_every_locked_version_has_hashes_and_nothing_else() -> None:
    for name in LOCKS:
        text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(encoding="utf-8"))
        entries = re.split(r"\n(?=\S)", text.strip())
        for entry in entries:
            # no options or URLs: the machine's configuration selects the package index
            assert re.fullmatch(
                r"[\w.-]+(\[[\w, -]+\])?==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+", entry
            ), entry


def test_torch_is_pinned_without_a_local_version() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")

    # one hash: that of the build without CUDA
    assert re.search(r"^torch==2\.13\.0 \\\n    --hash=sha256:\w{64}\n\S", lock, re.MULTILINE)
