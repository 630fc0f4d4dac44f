"""`make sbom` lists the environment."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

from packaging.utils import canonicalize_name

from cortex_pipelines_tests.supply.test_supply_lock import pins

ROOT = Path(__file__).parents[2]


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
