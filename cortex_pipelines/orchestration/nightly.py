"""The whole path in one go: move the pins, make what is stale, promote what passed its gate."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg

from cortex_pipelines.catalog import models
from cortex_pipelines.operations.moving_pins import move_pins
from cortex_pipelines.operations.releasing import promote_passed
from cortex_pipelines.orchestration.runs import Outcome, run_stale
from cortex_pipelines.release.ledger import Entry, ensure_keys
from cortex_pipelines.versioning.project import Project

_LOG = logging.getLogger("cortex_pipelines")


@dataclass(frozen=True)
class Night:
    """What a nightly run did.

    Args:
        moved: Pins that moved.
        outcome: Assets that were made, and those that failed.
        promoted: New lines of the ledger.
    """

    moved: tuple[str, ...]
    outcome: Outcome
    promoted: tuple[Entry, ...]


def nightly(
    open_again: Callable[[], tuple[Project, dg.Definitions]],
    instance: dg.DagsterInstance,
    why: str,
    move: bool = True,
    report: Callable[[str], None] = _LOG.info,
) -> Night:
    """Bring the whole path up to date and promote what passed.

    Args:
        open_again: Opens the project and its code location, with the pins as they are then.
        instance: Its Dagster instance.
        why: Reason for promotions, for the ledger.
        move: Whether the pins move first.
        report: Told what happens.
    """
    project, definitions = open_again()
    ensure_keys(project.root, models(project))
    moved = tuple(move_pins(project.root)) if move else ()
    for key in moved:
        report(f"pin moved: {key}")
    outcome = run_stale(project, definitions, instance, report=report)
    promoted = promote_passed(project, why, report=report)
    for entry in promoted:
        report(entry.in_words())
    if promoted:
        # A gate names the champion it met; run again it finds the same verdict, out of its cache.
        outcome += run_stale(project, definitions, instance, report=report)
    return Night(moved, outcome, promoted)
