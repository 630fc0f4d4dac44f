"""The projects as partitions that Dagster learns of while it runs.

A static definition is read once, when the code location is loaded, so that a project added afterwards would be unknown
until somebody reloads it. Here the keys are in Dagster's database. ``params.yaml`` alone says which projects there are;
the keys follow it.
"""

from typing import TYPE_CHECKING

from cortex_pipelines.versioning.project import Project

if TYPE_CHECKING:
    from dagster import DagsterInstance, DynamicPartitionsDefinition

NAME = "projects"


def partitions_definition() -> "DynamicPartitionsDefinition":
    import dagster as dg

    return dg.DynamicPartitionsDefinition(name=NAME)


def follow_projects(instance: "DagsterInstance", project: Project) -> int:
    """Make Dagster's partitions those of ``params.yaml``; returns how many came or went."""
    registered = set(instance.get_dynamic_partitions(NAME))
    new = [name for name in project.partitions if name not in registered]
    removed = sorted(registered.difference(project.partitions))
    if new:
        instance.add_dynamic_partitions(NAME, new)
    for name in removed:
        instance.delete_dynamic_partition(NAME, name)
    return len(new) + len(removed)
