"""The lock files and `make sbom` name the same packages as constraints.txt."""

import importlib.metadata
import json
import re
import subprocess
import sys
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


def test_sbom_lists_every_pinned_package_in_its_version(tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    # -o install: with the environment that runs this test; validation takes half a minute
    command = ("make", "-C", str(ROOT), "-o", "install", "sbom", f"SBOM={path}")
    options = (f"BIN={Path(sys.executable).parent}", "SBOM_OPTIONS=--no-validate")
    subprocess.run([*command, *options], check=True, capture_output=True)

    sbom = json.loads(path.read_text(encoding="utf-8"))

    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "cortex-pipelines"
    components = {canonicalize_name(c["name"]): c["version"] for c in sbom["components"]}
    pinned = pins("constraints.txt")
    assert pinned.keys() <= components.keys()
    for name in pinned:
        assert components[name] == importlib.metadata.version(name)
    assert "timestamp" not in sbom["metadata"], "the same environment gives the same bytes"
