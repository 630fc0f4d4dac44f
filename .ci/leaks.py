"""Secrets and personal data in the files that git tracks, by the detectors of `cortex scan`.

What is meant to be there (made up for tests) stands in .ci/leaks.allowed: path, rule, and the
beginning of the value's SHA-256. So another secret in the same file is still reported.
"""

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cortex_pipelines.config import load_parameters
from cortex_pipelines.privacy.detect.scanning import scan_path

ROOT = Path(__file__).parents[1]
ALLOWED = Path(".ci") / "leaks.allowed"
HEAD = "# Made up for tests, or no secret. Written by `python .ci/leaks.py --accept`.\n"


def main() -> int:
    """1 if something is tracked that is not allowed; the value itself is never printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=ROOT, help="a git repository")
    parser.add_argument("--accept", action="store_true", help="allow all that is there now")
    chosen = parser.parse_args()
    found = dict(leaks(chosen.root))
    allowed = chosen.root / ALLOWED
    if chosen.accept:
        allowed.parent.mkdir(exist_ok=True)
        allowed.write_text(HEAD + "".join(f"{key}\n" for key in sorted(found)), encoding="utf-8")
        return 0
    known = allowed.read_text(encoding="utf-8").splitlines() if allowed.exists() else []
    new = {key: place for key, place in found.items() if key not in known}
    for key, place in new.items():
        print(f"{place}: {key.split()[-2]}")
    if new:
        print("take them out (a real secret has to be withdrawn too: git keeps it); if they are")
        print(f"made up, `python .ci/leaks.py --accept` writes them to {ALLOWED}")
    return 1 if new else 0


def leaks(root: Path) -> Iterator[tuple[str, str]]:
    """Line of the list of what is allowed, and place, of each finding."""
    settings = load_parameters(ROOT).privacy
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    for name in sorted(set(listed.split("\0")) - {""}):
        path = root / name
        if not path.is_file() or path.is_symlink():
            continue
        for scan in scan_path(path, settings):
            lines = path.read_text("utf-8", "replace").split("\n") if scan.findings else []
            for one in scan.findings:
                value = lines[one.line - 1][one.start : one.end]
                digest = hashlib.sha256(value.encode()).hexdigest()[:12]
                yield f"{name} {one.rule} {digest}", f"{name}:{one.line}"


if __name__ == "__main__":
    sys.exit(main())
