"""Runs commands, each a fork of one process, that are killed with their group at the n-th write to their project."""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from unittest import mock

from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
_LONGEST = 300
"""Seconds after which a command is ended that does not end."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class CommandOutcome:
    status: int
    output: str
    events: int
    seconds: float


class Killer:
    def __init__(self, temporary: Path) -> None:
        temporary.mkdir(parents=True, exist_ok=True)
        self._report = temporary.parent / "killer.json"
        alone = ("DVC_", "CORTEX_", "COV_", "DAGSTER_", "PYTEST_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(alone)}
        bin_folder = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cortex_pipelines_tests.attacks.killer", str(self._report)],
            cwd=Path(__file__).parents[2],
            env=environment
            | {"PATH": bin_folder, "TMPDIR": str(temporary)}
            | {"PYTHONPATH": str(Path(__file__).parents[2]), "DVC_NO_ANALYTICS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, root: Path, *words: str, kill_at: int = 0, delay: float = 0.0) -> CommandOutcome:
        stdin, stdout = self._process.stdin, self._process.stdout
        request = {"root": str(root), "words": words, "kill_at": kill_at, "delay": delay}
        print(json.dumps(request), file=stdin, flush=True)
        return CommandOutcome(**json.loads(stdout.readline()))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


class _Fuse:
    """An audit hook that counts and kills."""

    def __init__(self, root: str, kill_at: int, delay: float) -> None:
        self.count = 0
        self._root, self._kill_at, self._delay = root, kill_at, delay

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & _WRITES:
                return
        elif event not in {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "sqlite3.connect"}:
            return
        path = os.fspath(arguments[0]) if isinstance(arguments[0], str | bytes | Path) else ""
        if isinstance(path, bytes):
            path = path.decode(errors="replace")
        if self._root not in os.path.abspath(path):  # noqa: PTH100 - no work within a hook
            return
        self.count += 1
        if self.count == self._kill_at:
            if self._delay:
                threading.Timer(self._delay, os.killpg, (os.getpgrp(), signal.SIGKILL)).start()
            else:
                os.killpg(os.getpgrp(), signal.SIGKILL)


def _serve(report: Path, answers: IO[str]) -> None:
    for name in CASES["_LOADED"]:
        __import__(name)
    for line in sys.stdin:
        request = json.loads(line)
        report.unlink(missing_ok=True)
        output = report.with_suffix(".txt")
        child = os.fork()
        if child == 0:
            _command(request, report, output)
        _, raw, used = os.wait4(child, 0)
        status = os.waitstatus_to_exitcode(raw)
        events, modules = json.loads(report.read_text()) if report.exists() else (0, [])
        text = output.read_text(errors="replace") if output.exists() else ""
        outcome = {"status": status, "output": text, "events": events, "seconds": used.ru_utime + used.ru_stime}
        print(json.dumps(outcome), file=answers, flush=True)
        for name in modules:
            _load(name)


def _load(name: str) -> None:
    """Load what a command had to load, for the next ones; some modules are those of a command."""
    with contextlib.suppress(Exception):
        importlib.import_module(name)


def _command(request: dict[str, Any], report: Path, output: Path) -> None:
    os.setsid()
    signal.alarm(_LONGEST)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the inherited one is at its end
    os.chdir(request["root"])
    before = set(sys.modules)
    fuse = _Fuse(request["root"], request["kill_at"], request["delay"])
    sys.addaudithook(fuse)
    status: Any = 1
    try:
        program, *words = request["words"]
        sys.argv = [program, *words]
        if program == "dvc":
            from dvc.cli import main as dvc

            with mock.patch("dvc.stage.run._run", _stage):
                status = dvc(words)
        else:
            from cortex_pipelines.cli.main import main as cortex

            cortex(words)
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter would say it
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    report.write_text(json.dumps((fuse.count, [name for name in sys.modules if name not in before])))
    os._exit(int(status or 0))


def _stage(executable: Any, command: str, **given: Any) -> None:
    """A stage's command of ``dvc repro`` as a fork of the process that DVC runs in."""
    from dvc.stage.exceptions import StageCmdFailedError

    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        from cortex_pipelines.cli.main import main as cortex

        status: Any = 1
        try:
            os.environ.update(given["env"])
            os.chdir(given["cwd"])
            sys.argv = command.split()
            cortex(sys.argv[1:])
        except SystemExit as end:
            status = end.code
        except BaseException:  # noqa: BLE001 - as the interpreter would say it
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(status or 0))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise StageCmdFailedError(command, status)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)
        _serve(Path(sys.argv[1]), replies)
