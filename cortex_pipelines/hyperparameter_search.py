"""Deterministic hyperparameter search with Optuna: seeded, pruned and resumable.

The sampler is seeded anew for each trial, by the search's seed and the trial's number, so what is
tried is a function of the seed and of the trials before, whether or not a process died between
two of them. Optuna's own storages do not keep the state of a sampler, and a process that is killed
leaves a lock or half a line in them; so finished trials are kept as lines here and given back to
Optuna by its public interface.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.progress import track

TRIALS_FILE = "trials.json"
"""File in an output that holds ``SearchResult.as_json``, by which trackers find it."""

_STARTUP = 2
"""Complete trials before pruning starts."""


@dataclass(frozen=True)
class Trial:
    """A trial of the search.

    Args:
        number: From 0.
        state: ``complete``, ``pruned`` (cut short, it did worse than most) or ``fail`` (no number).
        parameters: What was tried.
        value: What is to be small; of a trial cut short, as far as it came.
        steps: The same on the way, by step.
    """

    number: int
    state: str
    parameters: Mapping[str, Any]
    value: float | None
    steps: Mapping[int, float]

    def row(self) -> dict[str, Any]:
        """Plain values; the steps as ordered pairs."""
        return {
            "number": self.number,
            "state": self.state,
            "parameters": dict(self.parameters),
            "value": self.value,
            "steps": [[step, value] for step, value in sorted(self.steps.items())],
        }


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Args:
        trials: All of them, in order.
        importance: Share of the differences between whole trials that each parameter accounts for
            (fANOVA); empty where there are too few to tell.
        seed: Of the search.
    """

    trials: tuple[Trial, ...]
    importance: Mapping[str, float]
    seed: int

    @property
    def best(self) -> Trial:
        """The complete trial with the smallest value; the first on ties."""
        whole = [trial for trial in self.trials if trial.state == "complete"]
        return min(whole, key=lambda trial: trial.value if trial.value is not None else 0.0)

    def as_json(self, objective: str) -> dict[str, Any]:
        """Plain values for ``TRIALS_FILE``.

        Args:
            objective: What was to be small, in words.
        """
        return {
            "objective": objective,
            "seed": self.seed,
            "best": self.best.number,
            "importance": dict(self.importance),
            "trials": [trial.row() for trial in self.trials],
        }


def search(
    objective: Callable[[Any], float],
    trials: int,
    seed: int,
    warm_up: int,
    memory: Path,
    doing: str,
) -> SearchResult:
    """Run the search, with each trial's settings proposed by TPE.

    Args:
        objective: Takes an ``optuna.Trial``, asks it for parameters, may report to it on the way
            and raise ``optuna.TrialPruned`` if it says so; gives what is to be small.
        trials: How many, at least 1.
        seed: Of what is drawn.
        warm_up: Steps of a trial before it may be cut short (by the median of the others).
        memory: File that keeps finished trials until the search is over; named after all that
            the objective depends on. Removed at the end, so the next search starts empty.
        doing: What is being done, as a person would say it.

    Raises:
        ValueError: no trial came to a number.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(_STARTUP, warm_up))
    memory.parent.mkdir(parents=True, exist_ok=True)
    for line in _remembered(memory)[:trials]:
        study.add_trial(_restored(line))
    for number in track(range(len(study.trials), trials), doing):
        study.sampler = optuna.samplers.TPESampler(seed=seed + number)
        asked = study.ask()
        try:
            study.tell(asked, objective(asked))
        except optuna.TrialPruned:
            study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        _remember(memory, study.trials[number])
    outcome = SearchResult(
        tuple(_trial(number, frozen) for number, frozen in enumerate(study.trials)),
        _importance(study, seed),
        seed,
    )
    memory.unlink(missing_ok=True)
    if all(trial.state != "complete" for trial in outcome.trials):
        raise ValueError(f"none of the {trials} trials of the search finished with a finite value")
    return outcome


def _trial(number: int, frozen: Any) -> Trial:
    return Trial(
        number,
        frozen.state.name.lower(),
        dict(sorted(frozen.params.items())),
        frozen.value,
        dict(frozen.intermediate_values),
    )


def _importance(study: Any, seed: int) -> dict[str, float]:
    import optuna

    whole = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    if len({trial.value for trial in whole}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    importances = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(float(share), 6) for name, share in sorted(importances.items())}


def _remember(memory: Path, frozen: Any) -> None:
    import optuna

    to_json = optuna.distributions.distribution_to_json
    line = {
        "state": frozen.state.name,
        "params": frozen.params,
        "distributions": {
            name: to_json(distribution) for name, distribution in frozen.distributions.items()
        },
        "value": frozen.value,
        "steps": list(frozen.intermediate_values.items()),
    }
    with memory.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _remembered(memory: Path) -> list[dict[str, Any]]:
    """Finished trials of an interrupted search, without a truncated last line."""
    if not memory.exists():
        return []
    whole = memory.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    memory.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
    return [json.loads(line) for line in whole]


def _restored(line: Mapping[str, Any]) -> Any:
    import optuna

    from_json = optuna.distributions.json_to_distribution
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState[line["state"]],
        params=line["params"],
        distributions={
            name: from_json(distribution) for name, distribution in line["distributions"].items()
        },
        value=line["value"],
        intermediate_values={int(step): value for step, value in line["steps"]},
    )
