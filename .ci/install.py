"""Install the pinned packages into the environment of the interpreter that runs this.

    .venv/bin/python .ci/install.py demo        # what `make demo` runs
    .venv/bin/python .ci/install.py dev docs    # the tools of development, too
    .venv/bin/python .ci/install.py --locked    # refuse what has no hash in requirements.lock

uv installs, itself a wheel by its hash, since pip's resolver needs minutes for what takes uv seconds; pip does where
uv cannot be had. uv gets pip's index, certificates and proxy, unless it has settings of its own.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK, WEIGHTS = ROOT / "requirements.lock", ROOT / "weights.lock"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
LOCKED_PYTHON = (3, 11)  # for which the lock has the hash of torch's build without CUDA
UNFINISHED = Path(sys.prefix) / ".installing"

OPTIONS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
"""pip's options, and the variables by which uv gets the same."""
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX")


def main(arguments: Sequence[str]) -> int:
    """Install the extras that are named, the weights and this package; 1 if pip cannot either."""
    os.chdir(ROOT)
    locked, extras = "--locked" in arguments, [name for name in arguments if name != "--locked"]
    if installed_by_uv(extras, locked):
        return 0
    print("uv did not install; pip does, which takes minutes", file=sys.stderr)
    commands = [
        ("install", "--require-hashes", "-r", str(LOCK))
        if locked
        else ("install", "-c", "constraints.txt", "-e", f".[{','.join(extras)}]"),
        ("install", "--require-hashes", "--no-deps", "-r", str(WEIGHTS)),
    ]
    if locked:
        commands.append(("install", "--no-deps", "--no-build-isolation", "-e", "."))
    return int(any(subprocess.run([*PIP, *command, "--quiet"]).returncode for command in commands))


def installed_by_uv(extras: Sequence[str], locked: bool) -> bool:
    """Whether uv could be had and installed everything."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "pinned.txt"
        pinned.write_text(entry("uv"), encoding="utf-8")
        if subprocess.run([*PIP, "install", "-qq", "--require-hashes", "--no-deps", "-r", pinned]).returncode:
            return False
        uv = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
        environment = as_pip_has_it(os.environ)
        if locked:
            wanted: list[str | Path] = ["--require-hashes", "-r", LOCK]
        else:
            text = LOCK.read_text(encoding="utf-8")
            found = [*uv, "--dry-run", "--no-deps", "--reinstall-package", "torch", entry("torch").split()[0]]
            build = subprocess.run(found, env=environment, capture_output=True, text=True).stderr
            if sys.version_info[:2] != LOCKED_PYTHON or "+cpu" not in build:
                text = text.replace(entry("torch"), "")
            # with an extra a constraint would be of another package
            pinned.write_text(re.sub(r"^([\w.-]+)\[.+?\]", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
            wanted = ["-c", pinned, "-c", "constraints.txt", "-r", "pyproject.toml"]
            wanted += [option for name in extras for option in ("--extra", name)]
        steps = (
            wanted,
            ("--require-hashes", "--no-deps", "-r", WEIGHTS),
            # setuptools is in the lock: nothing is fetched to build with
            ("--no-deps", "--no-build-isolation", "-e", "."),
        )
        # what an interrupted run left half written would count as installed
        uv += ["--quiet", *(["--reinstall"] if UNFINISHED.exists() else [])]
        UNFINISHED.touch()
        if any(subprocess.run([*uv, *step], env=environment).returncode for step in steps):
            return False
    UNFINISHED.unlink()
    return True


def entry(name: str) -> str:
    """The lock's lines for a package."""
    found = re.search(rf"^{name}==.*\n(?: {{4}}.*\n)+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{LOCK.name} has no {name}: run `make lock`")
    return found[0]


def as_pip_has_it(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with pip's settings in uv's variables; those that are set stay."""
    listed = subprocess.run([*PIP, "config", "list"], stdout=subprocess.PIPE, text=True).stdout
    lines = re.findall(r"^(global|install|:env:)\.([\w-]+)=(.*)$", listed, re.MULTILINE)
    lines.sort(key=lambda line: ("global", "install", ":env:").index(line[0]))
    theirs = {}
    for _, option, value in lines:
        if option in OPTIONS:
            words = ast.literal_eval(value).split()
            theirs[OPTIONS[option]] = ",".join(words) if option == "find-links" else " ".join(words)
    if any(name in environment for name in INDEXES):
        theirs = {name: value for name, value in theirs.items() if name not in (*INDEXES, "UV_FIND_LINKS")}
    # the best version of all indexes, as pip takes it
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **theirs, **environment}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
