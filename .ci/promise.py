"""Is dvc.lock, as git has it, what this machine made? To run after `make demo` in a clean clone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML


def main() -> int:
    """Compare every stage of the committed lock with the one on disk; 1 if any differs."""
    committed = subprocess.run(["git", "show", "HEAD:dvc.lock"], check=True, capture_output=True, text=True).stdout
    promised = YAML(typ="safe").load(committed)["stages"]
    made = YAML(typ="safe").load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    missing = [name for name, entry in promised.items() if not all(Path(out["path"]).exists() for out in entry["outs"])]
    for name in missing:
        print(f"dvc.lock promises {name}, which was not made here")
    differing = [name for name, entry in promised.items() if _bytes(made.get(name, {})) != _bytes(entry)]
    for name in differing:
        print(f"dvc.lock promises another {name}: run `cortex run {name}` and commit the lock")
    broken = {*missing, *differing}
    print(f"{len(promised) - len(broken)} of {len(promised)} stages are byte for byte as promised")
    return 1 if broken else 0


def _bytes(entry: dict[str, Any]) -> dict[str, Any]:
    """A stage without the versions of packages and Python: whatever they are, they must not change a byte."""
    params = {file: keys for file, keys in entry.get("params", {}).items() if file != "data/parameters/packages.json"}
    return {**entry, "params": params}


if __name__ == "__main__":
    sys.exit(main())
