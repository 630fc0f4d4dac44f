"""The project's Dagster instance, created once however many processes come first."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from dagster import DagsterInstance

_SETTINGS = "telemetry:\n  enabled: false\n"


def open_instance(root: Path) -> "DagsterInstance":
    """The Dagster instance in ``.dagster``; sets ``DAGSTER_HOME`` so that the UI's is the same.

    First use is serialised: two processes that create its database at once leave it broken for
    good, with two heads of the schema's history.
    """
    import dagster as dg

    home = root / ".dagster"
    home.mkdir(exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_SETTINGS, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    ready = home / ".initialised"
    if ready.exists():
        return dg.DagsterInstance.get()
    with FileLock(home / ".initialise.lock"):
        instance = dg.DagsterInstance.get()
        # Asking each store once creates its database and brings its schema up to date.
        instance.get_runs_count()
        instance.all_asset_keys()
        instance.all_instigator_state()
        ready.touch()
    return instance
