import sqlite3
import urllib.error
from email.message import Message

import dagster as dg
import filelock
import pytest
import requests

from cortex_pipelines.versioning.dagster.dagster_assets import failure, is_transient


def answered(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://x", status, "no", Message(), None)


def wrapped(inner: Exception) -> Exception:
    try:
        raise ValueError("cannot be downloaded") from inner
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database is locked"),
        filelock.Timeout("x.lock"),
        ConnectionResetError(104, "reset"),
        TimeoutError("slow"),
        requests.ConnectionError("no route"),
        answered(503),
        answered(429),
        ValueError("git: fatal: unable to access: Could not resolve host: example.org"),
        wrapped(requests.ReadTimeout("slow")),
        wrapped(RuntimeError('connection to server at "db", port 5432 failed: Connection refused')),
    ],
)
def test_passes_by_itself(error: Exception) -> None:
    assert is_transient(error)
    assert isinstance(failure(error, attempts=0), dg.RetryRequested)


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("no such table: runs"),
        OSError(28, "No space left on device"),
        FileNotFoundError("sources/alpha"),
        PermissionError("data"),
        answered(404),
        TypeError("unsupported operand type"),
        SystemExit(1),
        wrapped(KeyError("x")),
    ],
)
def test_does_not_pass(error: BaseException) -> None:
    assert not is_transient(error)
    permanent = failure(error, attempts=0)
    assert isinstance(permanent, dg.Failure)
    assert not permanent.allow_retries
    assert str(permanent.description).startswith(type(error).__name__)
