"""Is dvc.lock, as git has it, what this machine made? To run after `make demo` in a clean clone.

``--inputs`` needs no demo: it looks whether the code and the parameters are those that the lock was made with.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cortex_pipelines.versioning.content import content_md5


def main(arguments: list[str]) -> int:
    """1 if anything differs."""
    made = YAML(typ="safe").load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    return _compare_inputs(made) if arguments == ["--inputs"] else _compare_stages(made)


def _compare_inputs(made: dict[str, Any]) -> int:
    inputs = {(dep["path"], dep["md5"]) for entry in made.values() for dep in entry.get("deps", [])}
    tracked = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout.split("\0")
    here = {*tracked, *(str(folder) for name in tracked for folder in Path(name).parents)}
    changed = {path for path, md5 in inputs if path in here and content_md5(Path(path)) != md5}
    for path in sorted(changed):
        print(f"dvc.lock was made with another {path}: run `dvc repro` for what is made of it and commit the lock")
    return 1 if changed else 0


def _compare_stages(made: dict[str, Any]) -> int:
    committed = subprocess.run(["git", "show", "HEAD:dvc.lock"], check=True, capture_output=True, text=True).stdout
    promised = YAML(typ="safe").load(committed)["stages"]
    missing = [name for name, entry in promised.items() if not all(Path(out["path"]).exists() for out in entry["outs"])]
    for name in missing:
        print(f"dvc.lock promises {name}, which was not made here")
    differing = [name for name, entry in promised.items() if _bytes(made.get(name, {})) != _bytes(entry)]
    for name in differing:
        print(f"dvc.lock promises another {name}: run `dvc repro {name}` and commit the lock")
    broken = {*missing, *differing}
    print(f"{len(promised) - len(broken)} of {len(promised)} stages are byte for byte as promised")
    return 1 if broken else 0


def _bytes(entry: dict[str, Any]) -> dict[str, Any]:
    """A stage without the versions of packages and Python: whatever they are, they must not change a byte."""
    params = {file: keys for file, keys in entry.get("params", {}).items() if file != "data/parameters/packages.json"}
    return {**entry, "params": params}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
