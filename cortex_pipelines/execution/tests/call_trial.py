"""Call a unit inside the sandbox and print what each call gives; standard library only.

Reads ``calls.json`` beside it: ``module``, ``roots``, the contents of the module's file to compare (``versions``) and
``calls``, statements in the module's names that end with an expression. The project lies in ``project/``. Each version
runs in a fork of its own and prints one line of JSON, a list with an outcome for each call: ``{"value": …}`` with a
literal, ``{"list": …}`` or ``{"dict": …}`` with what a list or dictionary of the value is, ``{"error": …}`` with the
name of a class, or null for what cannot be written down or did not end.
"""

import ast
import contextlib
import importlib
import io
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any

PROJECT = Path("project").resolve()
_MOST_ITEMS = 20
_MOST_CHARS = 120
_CALL_SECONDS = 0.25


class _TooLongError(BaseException):
    pass


def main() -> None:
    task = json.loads(Path("calls.json").read_text(encoding="utf-8"))
    sys.path[:0] = [str(PROJECT / root) for root in task["roots"]]
    end = time.monotonic() + float(task["seconds"])
    with contextlib.redirect_stdout(io.StringIO()):
        module = importlib.import_module(task["module"])  # once, with all that it imports
    for version in task["versions"]:
        if time.monotonic() >= end:
            break
        print(json.dumps(_forked(module, version, task["calls"], end)), flush=True)


def _forked(module: ModuleType, version: str, calls: list[str], end: float) -> list[dict[str, str] | None]:
    read_end, write_end = os.pipe()
    if not os.fork():
        os.close(read_end)
        with contextlib.suppress(BaseException):
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            sys.stdout = sys.stderr = io.StringIO()
            answer = json.dumps(_outcomes(module, version, calls, end)).encode()
            while answer:
                answer = answer[os.write(write_end, answer) :]
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as reader:
        data = reader.read()
    os.wait()
    try:
        outcomes: list[dict[str, str] | None] = json.loads(data)
    except ValueError:  # the version cannot be executed, or ended the process
        return []
    return outcomes


def _outcomes(module: ModuleType, version: str, calls: list[str], end: float) -> list[dict[str, str] | None]:
    def stop(*_: object) -> None:
        raise _TooLongError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(end - time.monotonic(), 0.01))
    exec(compile(version, module.__file__ or "", "exec"), vars(module))  # nosec B102: what the sandbox is for
    outcomes: list[dict[str, str] | None] = []
    for call in calls:
        if time.monotonic() >= end:
            break
        signal.setitimer(signal.ITIMER_REAL, _CALL_SECONDS)
        outcome = None
        with contextlib.suppress(_TooLongError):
            outcome = _outcome(call, dict(vars(module)))
        signal.setitimer(signal.ITIMER_REAL, 0)
        outcomes.append(outcome)
    return outcomes


def _outcome(call: str, names: dict[str, Any]) -> dict[str, str] | None:
    *setup, expression = call.split("\n")
    try:
        exec("\n".join(setup), names)  # nosec B102
        value = eval(expression, names)  # nosec B307
        if hasattr(value, "__next__"):
            return _literal([item for item, _ in zip(value, range(_MOST_ITEMS), strict=False)], "list")
        literal = _literal(value, "value")
        if literal is None and isinstance(value, Mapping | MutableMapping):
            return _literal(dict(value), "dict")
        return literal
    except _TooLongError:
        raise
    except Exception as error:  # noqa: BLE001 - an outcome like any other
        return {"error": type(error).__name__}


def _literal(value: object, kind: str) -> dict[str, str] | None:
    """A value as a literal; None if it has none, or a long one."""
    text = repr(value)
    try:
        parsed = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return {kind: text} if parsed == value and type(parsed) is type(value) and len(text) <= _MOST_CHARS else None


if __name__ == "__main__":
    main()
