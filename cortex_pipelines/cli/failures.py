"""Report a failed command: one sentence, a remedy, and the location of the details.

Errors of this package are written for users. Errors of libraries are shown with a hint, and their
traceback is written to a file. With ``--debug`` or the variable CORTEX_DEBUG nothing is caught.
"""

import os
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

_PACKAGE = "cortex_pipelines"
_MAX_LOGS = 50
_MAX_CHARACTERS = 600
_BUILT_IN_ERRORS = (ValueError, RuntimeError, LookupError)
"""Built-in errors that this package raises with a message for users."""

_RETRY_REMEDY = "correct that and run the same command again; what was finished is kept"

_PATH_REMEDY = "correct the path, or make the folder first"
_FULL = "the disk is full: free some space, then run the same command again; what was finished is kept"
_READ_ONLY = (
    "the database of Dagster or MLflow cannot be written: correct the permissions of the project's folder, then run "
    "the same command again"
)
_SENTENCES = {
    "No space left on device": _FULL,
    "database or disk is full": _FULL,
    "disk I/O error": _FULL.replace("full", "full or broken", 1),
    "attempt to write a readonly database": _READ_ONLY,
    "unable to open database file": _READ_ONLY,
    "database is locked": "another program holds the database of Dagster or MLflow: wait until it is done, or end it, "
    "then run the same command again; what was finished is kept",
    " is not a git repository": "the project's folder is in no git repository any more: bring its .git back, or run "
    "`git init` and commit, then run the same command again",
}
"""What is said instead of a library's words, of whatever kind the error is."""

_SERVER = "psycopg2.OperationalError"
_DATABASE = (
    "the database of Dagster or MLflow",
    "if another command is at work here, wait until it is done; what a damaged database held "
    "is made again by `cortex sync` once it is moved away",
)
_KINDS = (
    (
        "dvc.exceptions.DvcException",
        "DVC",
        "see `dvc status`; if another dvc or cortex command is at work here, wait until it is done",
    ),
    (
        _SERVER,
        "the PostgreSQL server of Dagster or MLflow cannot be used",
        "start it or correct its address (.dagster/dagster.yaml, MLFLOW_TRACKING_URI), and run the "
        "same command again; what was finished is kept",
    ),
    ("sqlalchemy.exc.SQLAlchemyError", *_DATABASE),
    ("sqlite3.DatabaseError", *_DATABASE),
    (
        "polars.exceptions.PolarsError",
        "a table",
        "if a file in data/ is named or was edited, `dvc checkout` brings it back",
    ),
    ("dagster_shared.error.DagsterError", "Dagster", "`cortex doctor` shows what is missing here"),
    ("mlflow.exceptions.MlflowException", "MLflow", "`cortex sync` brings its records into line with DVC"),
    ("git.exc.GitError", "git", "`git status` shows the state of this repository"),
    ("scmrepo.exceptions.SCMError", "git", "`git status` shows the state of this repository"),
    ("subprocess.SubprocessError", "a program", "run `cortex doctor` to see if it is installed"),
    ("pydantic_core._pydantic_core.ValidationError", "a wrong value", _RETRY_REMEDY),
    (
        "builtins.ModuleNotFoundError",
        "a package is missing",
        "install the extra that brings it; addresses of PostgreSQL have the scheme postgresql+psycopg2",
    ),
    ("builtins.UnicodeError", "text that is not UTF-8", "save the file as UTF-8"),
    ("safetensors._safetensors_rust.SafetensorError", "weights", "take the file again from DVC"),
    ("builtins.RecursionError", "input that is nested too deeply", "take the file out that was read last"),
    ("builtins.MemoryError", "not enough memory", "lower the limits in params.yaml"),
    ("builtins.FileNotFoundError", "", _PATH_REMEDY),
    ("builtins.IsADirectoryError", "", _PATH_REMEDY),
    ("builtins.NotADirectoryError", "", _PATH_REMEDY),
    ("builtins.PermissionError", "", "correct the permissions, and run the same command again"),
    ("builtins.OSError", "", "free some space or correct the permissions, and run the same command again"),
)


def is_user_error(error: BaseException) -> bool:
    """Whether this package raised the error, with a message for users."""
    if type(error).__module__.partition(".")[0] == _PACKAGE:
        return True
    frames = traceback.extract_tb(error.__traceback__)
    raised_here = bool(frames) and Path(__file__).parents[1] in Path(frames[-1].filename).parents
    # a system error has a number, one raised here only a message
    has_own_message = type(error) in _BUILT_IN_ERRORS or (isinstance(error, OSError) and error.errno is None)
    return raised_here and has_own_message and bool(error.args)


def error_sentence(error: BaseException) -> str:
    """The message of an error on one line."""
    if is_user_error(error):
        return _message_of(error)
    cause: BaseException | None = error
    while cause is not None:  # what PostgreSQL's driver says caused many a library's error
        if _SERVER in _names(cause):
            error = cause
            break
        cause = cause.__cause__ or cause.__context__
    message, names = _message_of(error), _names(error)
    for words, sentence in _SENTENCES.items():
        if words in message:
            return sentence
    for name, label, remedy in _KINDS:
        if name in names:
            prefix = f"{label}: " if label else ""
            return f"{prefix}{message}; {remedy}"
    return (
        f"unexpected {type(error).__name__}: {message}; this is a fault of cortex-pipelines and "
        "not of yours: please report it with the file named here"
    )


def _names(error: BaseException) -> list[str]:
    """Qualified names of an error's class and its base classes."""
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]


def failure_message(error: BaseException, root: Path | None) -> str:
    """Message for an error; a library's traceback is written to a file, outside of a project in the user's folder."""
    message = error_sentence(error)
    if is_user_error(error):
        return message
    try:
        from cortex_pipelines.ingestion.pretrained_models import home_folder

        folder = (home_folder() if root is None else root / ".cortex") / "logs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in sorted(folder.glob("error-*.log"))[: -_MAX_LOGS + 1]:
            old.unlink(missing_ok=True)
        timestamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        path = folder / f"error-{timestamp}-{os.getpid()}.log"
        lines = [f"{' '.join(sys.argv)}\n", *traceback.format_exception(error)]
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w", errors="replace") as file:
            file.writelines(lines)
        log_note = f"traceback in {path}"
    except OSError as full:
        log_note = f"its traceback could not be written ({full.strerror}), --debug shows it"
    return f"{message} ({log_note})"


def _message_of(error: BaseException) -> str:
    """Message of an error; str() of a LookupError is quoted, args[0] of an OSError a number."""
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        stderr = error.stderr
        stderr = stderr.decode(errors="replace") if isinstance(stderr, bytes) else str(stderr)
        text = f"{error} {stderr}"
    elif isinstance(error, LookupError) and error.args:
        text = str(error.args[0])
    else:
        text = str(error)
    text = " ".join(text.split()) or type(error).__name__
    return text if is_user_error(error) or len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."
