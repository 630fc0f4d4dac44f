"""Local process of each open run, so that runs of killed processes are closed."""

import json
import os
from hashlib import sha256
from pathlib import Path

from cortex_pipelines.atomic import began_before, write_whole
from cortex_pipelines.tracking.store import open_client, tracking_uri


def run_marker(root: Path, run_id: str) -> Path:
    return root / ".mlflow" / "going" / run_id


def note_process(root: Path, run_id: str) -> None:
    mark = run_marker(root, run_id)
    mark.parent.mkdir(parents=True, exist_ok=True)
    write_whole(mark, json.dumps({"process": os.getpid(), "uri": _hashed_uri(root)}).encode())


def end_dead_runs(root: Path) -> int:
    """End the runs of killed processes; returns how many."""
    from mlflow.exceptions import MlflowException

    ended_runs = 0
    for mark in sorted((root / ".mlflow" / "going").glob("*")):
        try:
            noted = json.loads(mark.read_text(encoding="utf-8"))
            process, uri = int(noted["process"]), str(noted["uri"])
        except (OSError, ValueError, TypeError, KeyError):
            continue  # ended meanwhile, or is being written
        if uri != _hashed_uri(root) or began_before(process, mark):
            continue
        try:
            client = open_client(root)
            client.set_tag(mark.name, "error", "the process that ran it is gone; run it again")
            client.set_terminated(mark.name, "FAILED")
            ended_runs += 1
        except MlflowException:
            pass  # deleted since, or with a database that was lost
        mark.unlink(missing_ok=True)
    return ended_runs


def _hashed_uri(root: Path) -> str:
    """What tells one MLflow from another; the address itself may hold a password."""
    return sha256(tracking_uri(root).encode()).hexdigest()
