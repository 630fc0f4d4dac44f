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
_KEPT = re.compile(r"^(?!GIT_)|^GIT_(SSH|SSL|HTTP|PROXY|ASKPASS|EXEC_PATH|CONFIG_GLOBAL)")
_SAFE = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"),
    *("-c", "protocol.ext.allow=never", "-c", "fetch.recurseSubmodules=false"),
    *("-c", "maintenance.auto=false", "-c", "core.quotePath=false", "-c", "log.showRoot=true"),
    # a server that has stopped answering for a minute is given up
    *("-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60"),
)

_MOST_BYTES = 2 << 30
"""Memory limit of git, in bytes; it streams, so the largest histories need far less."""

_MOST_SECONDS = 3600
"""Processor time limit of git, in seconds."""


class ExhaustedError(SourceError):
    """Git exceeded its memory or time limit.

    A few objects can unfold to a tree of a thousand million files, or of folders without any.
    """


def environment(*, network: bool = False) -> dict[str, str]:
    """Environment in which git reads only the mirror's own configuration.

    Args:
        network: Keep the user's own configuration, which may hold credential helpers and proxies.
    """
    kept = {key: value for key, value in os.environ.items() if _KEPT.match(key)}
    kept |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "LC_ALL": "C",
    }
    return kept if network else kept | {"GIT_CONFIG_GLOBAL": os.devnull}


def command(mirror: Path | None, *arguments: str) -> list[str]:
    """The command line that calls git on a mirror.

    Raises:
        SourceError: git is not installed.
    """
    git = shutil.which("git")
    if git is None:
        raise SourceError("git is not installed; install it (for example `apt install git`)")
    where = [f"--git-dir={mirror}"] if mirror else []
    return [git, *where, *_SAFE, *arguments]


def run_git(mirror: Path | None, *arguments: str, network: bool = False) -> str:
    """Run git to its end and return its output.

    Args:
        mirror: Bare repository to work on; None for none.
        arguments: Subcommand and its arguments.
        network: Let git use what the user has configured to reach servers.

    Raises:
        SourceError: git failed, with its own words.
    """
    done = subprocess.run(  # nosec B603
        command(mirror, *arguments),
        env=environment(network=network),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        start_new_session=True,  # no terminal: ssh fails where it would ask
    )
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SourceError("; ".join(line for line in words if line)[-1000:] or "git failed")
    return done.stdout.decode("utf-8", "surrogateescape")


@contextmanager
def stream(mirror: Path, *arguments: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Run git with its input and output open.

    Raises:
        SourceError: git failed, with its own words; not raised when the caller stops early.
        ExhaustedError: it failed by the limits of memory and time that it is given.
    """
    with (
        tempfile.TemporaryFile() as complaints,  # a pipe nobody reads could fill up and block git
        subprocess.Popen(  # nosec B603
            command(mirror, *arguments),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        ) as git,
    ):
        if git.stdin is None or git.stdout is None:
            raise SourceError("git was started without pipes")
        _limit(git.pid)
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
            complaints.seek(0)
            words = complaints.read().decode("utf-8", "replace").strip()
            raise _failure(arguments[0], git.returncode, words)


def _limit(pid: int) -> None:
    if hasattr(resource, "prlimit"):  # Linux
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
            resource.prlimit(pid, resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))


def _failure(subcommand: str, code: int, words: str) -> SourceError:
    if code in (-signal.SIGXCPU, -signal.SIGKILL) or "out of memory" in words.lower():
        return ExhaustedError(
            f"git {subcommand} needs more memory or time than any real repository: a "
            "commit of it unfolds to files without end; leave the repository out"
        )
    return SourceError(f"git {subcommand} failed: {words}")


def records(answer: IO[bytes], chunk: int = 1 << 20) -> Iterator[bytes]:
    """Split a stream into NUL-terminated records; holds one chunk and one record in memory."""
    rest = b""
    while block := answer.read(chunk):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
    if rest:
        yield rest
