"""Run git on untrusted repositories.

No hook, filter, helper or configuration of a repository runs, and no terminal is asked. git gets
a list of arguments and never passes through a shell; places and refs were checked in sources.py.
"""

import os
import re
import resource
import shutil
import signal
import subprocess  # nosec B404
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cortex_pipelines.ingestion.entries import SourceError

# What a caller's environment may say to git: how to reach a server. GIT_DIR, GIT_INDEX_FILE and
# their like, which git sets for its own hooks, would make it read another repository.
_PASSED_VARIABLES = re.compile(r"^(?!GIT_)|^GIT_(SSH|SSL|HTTP|PROXY|ASKPASS|EXEC_PATH|CONFIG_GLOBAL)")
_SAFETY_OPTIONS = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"),
    *("-c", "protocol.ext.allow=never", "-c", "fetch.recurseSubmodules=false"),
    *("-c", "maintenance.auto=false", "-c", "core.quotePath=false", "-c", "log.showRoot=true"),
    # larger files are not compared line by line
    *("-c", "core.bigFileThreshold=2m"),
    # a server that has stopped answering for a minute is given up
    *("-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60"),
)

_MAX_MEMORY_BYTES = 2 << 30
"""Memory limit of git, in bytes; it streams, so the largest histories need far less."""

_MAX_CPU_SECONDS = 3600
"""Processor time limit of git, in seconds."""


class ExhaustedError(SourceError):
    """Git exceeded its memory or time limit: a few objects can unfold to a tree of a billion files or empty folders."""


def environment(*, network: bool = False) -> dict[str, str]:
    """git reads only the mirror's configuration; with ``network`` the user's, too, for credentials and proxies."""
    variables = {key: value for key, value in os.environ.items() if _PASSED_VARIABLES.match(key)}
    variables |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "LC_ALL": "C",
    }
    return variables if network else variables | {"GIT_CONFIG_GLOBAL": os.devnull}


def command(mirror: Path | None, *arguments: str) -> list[str]:
    git = shutil.which("git")
    if git is None:
        raise SourceError("git is not installed; install it (for example `apt install git`)")
    git_dir = [f"--git-dir={mirror}"] if mirror else []
    return [git, *git_dir, *_SAFETY_OPTIONS, *arguments]


def run_git(mirror: Path | None, *arguments: str, network: bool = False) -> str:
    """Run git to its end; with ``network`` it uses what the user has configured to reach servers."""
    process = subprocess.run(  # nosec B603
        command(mirror, *arguments),
        env=environment(network=network),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        start_new_session=True,  # no terminal: ssh fails where it would ask
    )
    if process.returncode:
        messages = process.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SourceError("; ".join(line for line in messages if line)[-1000:] or "git failed")
    return process.stdout.decode("utf-8", "surrogateescape")


@contextmanager
def stream(mirror: Path, *arguments: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Run git with its input and output open; a failure is not raised when the caller stops early."""
    with (
        tempfile.TemporaryFile() as stderr_file,  # a pipe nobody reads could fill up and block git
        subprocess.Popen(  # nosec B603
            command(mirror, *arguments),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr_file,
        ) as git,
    ):
        if git.stdin is None or git.stdout is None:
            raise SourceError("git was started without pipes")
        if hasattr(resource, "prlimit"):  # Linux
            with suppress(ProcessLookupError):
                resource.prlimit(git.pid, resource.RLIMIT_DATA, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
                resource.prlimit(git.pid, resource.RLIMIT_CPU, (_MAX_CPU_SECONDS, _MAX_CPU_SECONDS))
        try:
            yield git.stdin, git.stdout
            git.stdin.close()
            finished = not git.stdout.read(1)
        except BrokenPipeError:  # git ended before it was asked everything
            with suppress(BrokenPipeError):
                git.stdin.close()
            finished = True
        except BaseException:
            git.kill()
            raise
        if not finished:
            git.kill()
        elif git.wait():
            stderr_file.seek(0)
            message = stderr_file.read().decode("utf-8", "replace").strip()
            raise _failure(arguments[0], git.returncode, message)


def _failure(subcommand: str, code: int, stderr: str) -> SourceError:
    if code in (-signal.SIGXCPU, -signal.SIGKILL) or "out of memory" in stderr.lower():
        return ExhaustedError(
            f"git {subcommand} needs more memory or time than any real repository: a "
            "commit of it unfolds to files without end; leave the repository out"
        )
    return SourceError(f"git {subcommand} failed: {stderr}")


def records(answer: IO[bytes], chunk: int = 1 << 20) -> Iterator[bytes]:
    """Split a stream into NUL-terminated records; holds one chunk and one record in memory."""
    partial = b""
    while block := answer.read(chunk):
        *complete, partial = (partial + block).split(b"\0")
        yield from complete
    if partial:
        yield partial
