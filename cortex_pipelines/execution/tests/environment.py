"""The Python that runs a project's tests: this one, or one with the project's own dependencies.

The packages of an environment are pinned by version and hash in a file whose own hash stands in
``params.yaml``, so what runs is a function of the parameters. It is made once by uv, from wheels
alone: building a source distribution would run code outside of the sandbox. Only the sandbox ever
starts its Python.
"""

import hashlib
import shutil
import subprocess  # nosec B404
import sys
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.atomic import folder_lock, scratch_folder
from cortex_pipelines.augmentation.settings import PinnedEnvironment

_MADE = Path(".cortex") / "environments"
_LAST_WORDS = 600
WHEELS_ONLY = "--no-build"
"""Option of uv: what comes as a source distribution only is refused."""


class EnvironmentNotMadeError(ValueError):
    pass


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs tests in the sandbox, and the folder that the sandbox must show in addition."""

    program: Path
    folder: Path | None

    @property
    def readable_paths(self) -> tuple[Path, ...]:
        return () if self.folder is None else (self.folder,)

    @property
    def variables(self) -> dict[str, str]:
        """Plugins of this package's own tests are disabled; those of a pinned environment are loaded."""
        return {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if self.folder is None else {}


OWN = Interpreter(Path(sys.executable), None)
"""The Python that this package runs on."""


def open_environment(environment: PinnedEnvironment | None, root: Path) -> Interpreter:
    """The Python that runs a project's tests, created on first use.

    Args:
        environment: The pinned packages; None for this package's own Python.
        root: Project root.

    Raises:
        EnvironmentNotMadeError: the list of packages is missing or does not have the pinned hash,
            or the environment cannot be created from it.
    """
    if environment is None:
        return OWN
    pinned = root / environment.requirements
    content = pinned.read_bytes() if pinned.is_file() else None
    if content is None or hashlib.sha256(content).hexdigest() != environment.sha256:
        problem = "is missing" if content is None else "is another one than was pinned"
        raise EnvironmentNotMadeError(
            f"{environment.requirements} {problem}: restore it, or run "
            "`cortex test-environment PROJECT` "
            "again, which pins what it writes"
        )
    version = ".".join(map(str, sys.version_info[:3]))
    folder = root / _MADE / f"{environment.sha256[:16]}-{version}"
    with folder_lock(root / _MADE):
        if not folder.is_dir():
            with scratch_folder(root / _MADE) as scratch:
                _make(pinned, scratch / "new")
                (scratch / "new").rename(folder)
    return Interpreter(folder / "bin" / "python", folder)


def _make(pinned: Path, folder: Path) -> None:
    run_uv("venv", "--relocatable", "--python", sys.executable, str(folder))
    python = str(folder / "bin" / "python")
    sync = ("pip", "sync", WHEELS_ONLY, "--require-hashes", "--python", python)
    run_uv(*sync, str(pinned))


def run_uv(*arguments: str, stdin: str | None = None) -> str:
    bundled = Path(sys.executable).parent / "uv"
    uv = str(bundled) if bundled.exists() else shutil.which("uv")
    if uv is None:
        raise EnvironmentNotMadeError("uv makes environments for tests and is not installed: pip install uv")
    completed = subprocess.run(  # nosec B603
        [uv, "--quiet", *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    if completed.returncode:
        words = completed.stderr.strip()[-_LAST_WORDS:]
        raise EnvironmentNotMadeError(f"`uv {' '.join(arguments[:2])}` failed: {words}")
    return completed.stdout
