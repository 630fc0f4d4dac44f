"""Outcomes of calls of a Python unit and of its mutants, observed in the sandbox."""

import json
import shutil
from collections.abc import Mapping, Sequence

from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests import call_trial
from cortex_pipelines.execution.tests.environment import OWN, Interpreter, module_place, write_project

CallOutcome = Mapping[str, str] | None
"""``value`` or ``list`` (of what an iterator gives) with a literal, ``error`` with a class; None if neither."""

_OTHER_SEED = {"PYTHONHASHSEED": "1"}
"""Tests run with another one: an order that hangs on it is noticed."""


def observe(
    module: str,
    path: str,
    versions: Sequence[str],
    calls: Sequence[str],
    texts: Mapping[str, str],
    settings: AugmentationSettings,
    seconds: float,
    interpreter: Interpreter = OWN,
) -> list[list[CallOutcome]]:
    """The outcome of each call (an expression in the module's names) with each version of the module's file.

    Calls that did not run within ``seconds`` are missing at the end. Raises ``SandboxError``.
    """
    roots = ["", "src", module_place(path, texts)[0]]
    task = {"module": module, "path": path, "roots": roots, "versions": versions, "calls": calls, "seconds": seconds}
    with temporary_folder("calls") as folder:
        write_project(folder, {**texts, path: versions[0]})
        (folder / "calls.json").write_text(json.dumps(task), encoding="utf-8")
        shutil.copyfile(call_trial.__file__, folder / "trial.py")
        command = [str(interpreter.program), "trial.py"]
        variables = {**interpreter.variables, **_OTHER_SEED}
        limits = settings.sandbox_limits(seconds + 2)
        result = sandbox.run(command, folder, limits, variables, interpreter.readable_paths)
    lines = result.stdout.decode(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.endswith("]")]
