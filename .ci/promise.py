"""Is dvc.lock, as git has it, what this machine made? To run after `make demo` in a clean clone."""

import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML


def main() -> int:
    """Compare every stage of the committed lock with the one on disk; 1 if any differs."""
    committed = subprocess.run(["git", "show", "HEAD:dvc.lock"], check=True, capture_output=True, text=True).stdout
    promised = YAML(typ="safe").load(committed)["stages"]
    made = YAML(typ="safe").load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    missing = [name for name, entry in promised.items() if not all(Path(out["path"]).exists() for out in entry["outs"])]
    for name in missing:
        print(f"dvc.lock promises {name}, which was not made here")
    differing = [name for name, entry in promised.items() if made.get(name) != entry]
    for name in differing:
        print(f"dvc.lock promises another {name}: run `cortex run {name}` and commit the lock")
    broken = {*missing, *differing}
    print(f"{len(promised) - len(broken)} of {len(promised)} stages are byte for byte as promised")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
