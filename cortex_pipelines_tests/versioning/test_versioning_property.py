"""However a project is changed, Dagster and DVC agree on what is stale after a sync.

The number of steps is CORTEX_PROPERTY_STEPS (100 if not set).
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, assume, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cortex_pipelines.versioning.dvc import reconcile, stages
from cortex_pipelines_tests.versioning.toy import CODE, Workbench, reasons, recomputed

STEPS = int(os.environ.get("CORTEX_PROPERTY_STEPS", "100"))
STEPS_PER_EXAMPLE = 25
PARTS = 4  # the steps are walked in so many tests, so that workers share them
PROJECTS = st.sampled_from(["a", "b", "c"])
WORDS = st.lists(st.sampled_from(["one", "two", "three", "four"]), max_size=3, unique=True)
VALUES = st.sampled_from(["", "x", "y"])


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def fresh_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Workbench.create(tmp_path_factory.mktemp("property") / "fresh").root


class Spine(RuleBasedStateMachine):
    template: Path
    sync_as: Callable[[Workbench], int] = staticmethod(lambda bench: bench.sync())
    revisions = Bundle("revisions")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(self.template, self.folder / "p", symlinks=True)
        self.bench = Workbench(self.folder / "p")

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def projects(self) -> tuple[str, ...]:
        return self.bench.project().partitions

    @initialize(target=revisions, chance=st.integers(0, 3))
    def begin(self, chance: int) -> str:
        # Hypothesis walks the simplest history first: one rule again and again, in every part.
        assume(chance)
        return self.bench.git("rev-parse", "HEAD")

    @rule(name=PROJECTS, words=WORDS)
    def edit_source_and_move_pin(self, name: str, words: list[str]) -> None:
        if name in self.projects():
            self.bench.edit("sources.lock", lambda v: v["projects"].update({name: words}))

    @rule(value=VALUES)
    def edit_parameter(self, value: str) -> None:
        self.bench.edit("params.yaml", lambda v: v["loudness"].update({"suffix": value}))

    @rule(width=st.integers(1, 2))
    def edit_other_parameter(self, width: int) -> None:
        self.bench.edit("params.yaml", lambda v: v["pages"].update({"width": width}))

    @rule(section=st.sampled_from(["loudness", "pages"]))
    def leave_a_section_to_the_profile(self, section: str) -> None:
        self.bench.edit("params.yaml", lambda v: v.update({section: {}}))

    @rule(profile=st.sampled_from(["standard", "loud"]), value=VALUES)
    def edit_profile(self, profile: str, value: str) -> None:
        self.bench.edit(f"profiles/{profile}.yaml", lambda v: v["loudness"].update(suffix=value))

    @rule(profile=st.sampled_from(["standard", "loud"]))
    def choose_profile(self, profile: str) -> None:
        self.bench.edit("params.yaml", lambda v: v.update(profile=profile))

    @rule(name=PROJECTS, profile=st.sampled_from(["standard", "loud"]))
    def choose_profile_of_a_project(self, name: str, profile: str) -> None:
        if name in self.projects():
            self.bench.edit("params.yaml", lambda v: v["projects"][name].update(profile=profile))

    @rule(name=PROJECTS, value=VALUES)
    def override_for_a_project(self, name: str, value: str) -> None:
        if name in self.projects():
            overrides = {"loudness": {"suffix": value}}
            self.bench.edit("params.yaml", lambda v: v["projects"][name].update(overrides))

    @rule(name=PROJECTS)
    def write_out_what_holds_anyway(self, name: str) -> None:
        """An override that equals what it overrides makes nothing stale."""
        if name not in self.projects():
            return
        before = self.changed()
        value = self.bench.project().effective.section("loudness", name).model_dump()
        self.bench.edit("params.yaml", lambda v: v["projects"][name].update(loudness=value))
        assert self.changed() == before

    def changed(self) -> dict[str, bool]:
        views = reconcile.dvc_views(self.bench.project())
        return {f"{view.asset.name}@{view.partition}": view.changed for view in views}

    @rule(name=PROJECTS, value=VALUES)
    def edit_project_settings(self, name: str, value: str) -> None:
        if name in self.projects():
            self.bench.edit("params.yaml", lambda v: v["projects"][name].update({"title": value}))

    @rule(name=st.sampled_from(CODE), value=VALUES)
    def edit_code(self, name: str, value: str) -> None:
        (self.bench.root / "toy" / f"{name}.py").write_text(value)

    @rule(name=PROJECTS, words=WORDS)
    def add_project(self, name: str, words: list[str]) -> None:
        self.bench.edit("sources.lock", lambda v: v["projects"].setdefault(name, words))
        self.bench.edit("params.yaml", lambda v: v["projects"].setdefault(name, {"title": name}))

    @rule(name=PROJECTS)
    @precondition(lambda self: len(self.projects()) > 1)
    def remove_project(self, name: str) -> None:
        self.bench.edit("params.yaml", lambda v: v["projects"].pop(name, None))
        self.bench.edit("sources.lock", lambda v: v["projects"].pop(name, None))

    @rule(data=st.data())
    def materialise_one(self, data: st.DataObject) -> None:
        name, partition = data.draw(st.sampled_from(self.bench.all_stages()))
        self.bench.run([name], partition)  # fails where an input is missing; that is fine

    @rule()
    def materialise_all(self) -> None:
        self.bench.run_all()

    @rule(data=st.data(), moment=st.sampled_from(["before", "published", "committed"]))
    def kill_a_run(self, data: st.DataObject, moment: str) -> None:
        name, partition = data.draw(st.sampled_from(self.bench.all_stages()))
        with (
            mock.patch.multiple("cortex_pipelines.versioning.materialise", **dying(moment)),
            contextlib.suppress(Killed, RuntimeError),
        ):
            self.bench.make(name, partition)

    @rule()
    def dvc_repro_all(self) -> None:
        self.bench.repro()

    @rule(data=st.data())
    def dvc_repro_one(self, data: st.DataObject) -> None:
        name, partition = data.draw(st.sampled_from(self.bench.all_stages()))
        self.bench.repro([f"{name}@{partition}" if partition else name])

    @rule(data=st.data())
    def delete_an_output(self, data: st.DataObject) -> None:
        name, partition = data.draw(st.sampled_from(self.bench.all_stages()))
        shutil.rmtree(self.bench.project().output(name, partition), ignore_errors=True)

    @rule(target=revisions)
    def commit(self) -> str:
        self.bench.commit()
        return self.bench.git("rev-parse", "HEAD")

    @rule(revision=revisions)
    def checkout(self, revision: str) -> None:
        self.bench.checkout(revision)

    @invariant()
    def views_agree(self) -> None:
        self.sync_as(self.bench)
        project = self.bench.project()
        status_of = self.bench.staleness(project).snapshot().status
        ui_status = self.bench.ui_status(project)
        own, of_dvc = reasons(self.bench)
        assert own == of_dvc
        for view in reconcile.dvc_views(project):
            name, partition = view.asset.name, view.partition
            status, reason = status_of(name, partition)
            assert status == ui_status(name, partition), (name, partition, reason)
            assert (status != "FRESH") == view.changed, (name, partition, status, reason, view.reasons)
            if not view.changed:
                fresh = recomputed(self.bench, name, partition, self.folder)
                assert fresh == view.version == view.locked, (name, partition)
        assert self.sync_as(self.bench) == 0, "a second sync has nothing to say"
        stages.check(project)


def dying(moment: str) -> dict[str, Any]:
    from cortex_pipelines.versioning import materialise as module

    def die(*args: Any, **kwargs: Any) -> None:
        raise Killed

    def publish_and_die(new: Path, target: Path) -> None:
        replace(new, target)
        raise Killed

    def commit_and_die(*args: Any) -> None:
        commit(*args)
        raise Killed

    replace, commit = module.replace_folder, module.dvc_store.commit
    if moment == "before":
        return {"replace_folder": die}
    if moment == "published":
        return {"replace_folder": publish_and_die}
    store = mock.Mock(wraps=module.dvc_store)
    store.reading = module.dvc_store.reading
    store.commit = commit_and_die
    return {"dvc_store": store}


def run_machine(machine: type[Spine], steps: int, phases: tuple[Phase, ...]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(1, steps // STEPS_PER_EXAMPLE),
            stateful_step_count=min(STEPS_PER_EXAMPLE, steps),
            phases=phases,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_dvc_unchanged_if_and_only_if_dagster_fresh(fresh_project: Path, part: int) -> None:
    @seed(part)
    class Checked(Spine):
        template = fresh_project

    run_machine(Checked, STEPS // PARTS, tuple(Phase))


def sync_without_input_tags(bench: Workbench) -> int:
    with mock.patch("cortex_pipelines.versioning.dvc.reconcile.event_tags", without_inputs):
        return bench.sync()


def without_inputs(*args: Any) -> dict[str, str]:
    from cortex_pipelines.versioning.dagster.staleness import event_tags

    return {k: v for k, v in event_tags(*args).items() if "/input_" not in k}


def test_a_broken_sync_is_caught(fresh_project: Path) -> None:
    # of the first few seeds, the one that comes to a counterexample soonest
    @seed(3)
    class Broken(Spine):
        template = fresh_project
        sync_as = staticmethod(sync_without_input_tags)

    with pytest.raises(AssertionError):
        # any counterexample will do, so none is made smaller
        run_machine(Broken, 4 * STEPS_PER_EXAMPLE, (Phase.generate,))
