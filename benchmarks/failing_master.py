"""A master begins to fail: who notices? A simulation with known truth, ``python -m benchmarks.failing_master``.

Five masters; a task belongs to one, is done by the next too, and by no other. It succeeds with 92, 75 and 10 %. The log
of a team is drawn: 80 % of the tasks went to their master, 15 % to its deputy, 5 % to anybody; a task every ten
minutes, outcomes known half an hour later, three times as late where they are failures. Ten times in the log a random
master fails at all it gets for 100 tasks. From tasks that succeeded the router learns who they belong to.

Then each router decides 300 new tasks by itself, and sees what its decisions come to; a master that fails from the
100th task on is to be left. Reported are the share of that master's tasks that still go to it after 50 more tasks, and
after how many tasks three of its tasks in a row went elsewhere. Controls: nobody fails; and a network that learnt from
outcomes that were dealt out to the attempts anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.workspace import CHECKOUT
from cortex_pipelines.config import load_parameters
from cortex_pipelines.routing.features import FeatureExtractor, Features
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.history import Attempts, History
from cortex_pipelines.routing.models.network import JointNetwork, NeuralSettings
from cortex_pipelines.routing.selection.model_selection import JOINT, select_model
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.statistics.intervals import paired_bootstrap

MASTERS, TOPICS, LOGGED, EPISODES, EPISODE = 5, 16, 1500, 10, 100
DECIDED, ONSET, WITHIN = 300, 100, 50
_STEP, _DELAY, _START = 600.0, 1800.0, 1.7e9
_SUCCESS = (0.92, 0.75, 0.1)  # of its master, the deputy, and others
_SETTINGS = NeuralSettings(0.005, 0.01, 0.1)


@dataclass(frozen=True)
class World:
    """``topics`` are the directions of each master's tasks in the space of embeddings."""

    topics: np.ndarray
    chance: np.random.Generator

    @classmethod
    def of_seed(cls, seed: int) -> "World":
        chance = np.random.default_rng(seed)
        return cls(chance.normal(size=(MASTERS, 4, TOPICS)), chance)

    def again(self, seed: int) -> "World":
        """The same masters, other tasks and luck."""
        return replace(self, chance=np.random.default_rng((seed, 1)))

    def tasks(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings, noisy, and whose each task is."""
        owners = self.chance.integers(0, MASTERS, count)
        vectors = (
            self.topics[owners, self.chance.integers(0, 4, count)] + self.chance.normal(size=(count, TOPICS)) * 0.6
        )
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), owners

    def outcomes(self, owners: np.ndarray, sent_to: np.ndarray, sent: np.ndarray, failing: np.ndarray) -> History:
        """``failing`` is the master that fails at each task, or -1."""
        distance = np.minimum((sent_to - owners) % MASTERS, 2)
        share = np.where(sent_to == failing, 0.0, np.array(_SUCCESS)[distance])
        success = self.chance.random(len(owners)) < share
        took = _DELAY * self.chance.lognormal(0.0, 0.3, len(owners)) * np.where(success, 1.0, 3.0)
        amounts = np.log1p(np.stack([took, took * self.chance.lognormal(1.0, 0.3, len(owners))], axis=1))
        return History(sent_to, sent, sent + took, np.column_stack([success.astype(np.float64), amounts]))

    def log(self, settings: RoutingSettings) -> tuple[TrainingData, FeatureExtractor]:
        vectors, owners = self.tasks(LOGGED)
        by = self.chance.choice(3, LOGGED, p=[0.8, 0.15, 0.05])
        sent_to = np.where(by == 2, self.chance.integers(0, MASTERS, LOGGED), (owners + by) % MASTERS)
        failing = np.full(LOGGED, -1)
        for start in np.linspace(0, LOGGED - EPISODE, EPISODES).astype(int):
            failing[start : start + EPISODE] = self.chance.integers(0, MASTERS)
        history = self.outcomes(owners, sent_to, _START + _STEP * np.arange(LOGGED), failing)
        texts = [str(number) for number in range(LOGGED)]
        extractor = FeatureExtractor.fit(texts, vectors, settings.dimensions)
        features = extractor.features(texts, vectors, asked=history.sent)
        succeeded = np.flatnonzero(history.outcomes[:, 0] > 0.5)
        rows = np.arange(LOGGED)
        training = TrainingData(
            features.take(succeeded),
            sent_to[succeeded],
            np.ones(len(succeeded), dtype=np.float32),
            MASTERS,
            settings,
            history,
            Attempts(features, rows, rows % settings.folds),
        )
        return training, extractor


@dataclass(frozen=True)
class Trial:
    """``kept``: share of the failing master's tasks sent to it ``WITHIN`` tasks after the onset; ``left_after``: tasks
    until three of its tasks in a row went elsewhere, or as many as there were; ``success``: share of all later ones."""

    kept: float
    left_after: int
    success: float


def trial(world: World, extractor: FeatureExtractor, network: JointNetwork, master: int, fails: bool) -> Trial:
    """One router decides task by task."""
    vectors, owners = world.tasks(DECIDED)
    history = network.history
    start = float(np.nanmax(history.known)) + _STEP
    sent_to, streak, left_after = np.zeros(DECIDED, dtype=np.int64), 0, DECIDED - ONSET
    succeeded = np.zeros(DECIDED)
    for number in range(DECIDED):
        asked = np.array([start + _STEP * number])
        task: Features = extractor.features(["x"], vectors[number : number + 1], asked=asked)
        sent_to[number] = network.with_history(history).scores(task)[0].argmax()
        failing = np.array([master if fails and number >= ONSET else -1])
        came_to = world.outcomes(owners[[number]], sent_to[[number]], asked, failing)
        history, succeeded[number] = history.add(came_to), came_to.outcomes[0, 0]
        if number >= ONSET and owners[number] == master:
            streak = 0 if sent_to[number] == master else streak + 1
            if streak == 3:
                left_after = min(left_after, number - ONSET + 1)
    late = (np.arange(DECIDED) >= ONSET + WITHIN) & (owners == master)
    return Trial(float((sent_to[late] == master).mean()), left_after, float(succeeded[ONSET:].mean()))


def networks(world: World, settings: RoutingSettings) -> tuple[FeatureExtractor, Mapping[str, JointNetwork]]:
    """The joint network, the plain one, and the control, each as the router's own selection trains it."""
    training, extractor = world.log(settings)
    dealt = replace(training.history, outcomes=training.history.outcomes[world.chance.permutation(LOGGED)])
    cases = {
        "joint": training,
        "plain": replace(training, history=History.empty(), attempts=None),
        "outcomes dealt anew": replace(training, history=dealt),
    }
    trained = {}
    for name, case in cases.items():
        tasks = np.arange(len(case.labels))
        selection = select_model(case, tasks, tasks % settings.folds, None, _SETTINGS)
        accuracies = {step.model: step.accuracy for step in selection.steps}
        chosen = [step.model for step in selection.steps if step.adopted][-1]
        print(
            f"{name}: {chosen} adopted; right of the log's: " + ", ".join(f"{n} {a:.3f}" for n, a in accuracies.items())
        )
        trained[name] = selection.candidates[JOINT].with_history(training.history)
    return extractor, trained


def main(seeds: int = 4) -> None:
    """Print a line a router and case, over all masters and seeds."""
    settings = load_parameters(CHECKOUT).routing.model_copy(update={"kernel_features": 256})
    trials: dict[tuple[str, bool], list[Trial]] = {}
    for seed in range(seeds):
        world = World.of_seed(seed)
        extractor, routers = networks(world, settings)
        for name, network in routers.items():
            for fails in (True, False):
                of_case = [trial(world.again(master), extractor, network, master, fails) for master in range(MASTERS)]
                trials.setdefault((name, fails), []).extend(of_case)
    for (name, fails), of_case in trials.items():
        kept, success = (
            paired_bootstrap([getattr(each, what) for each in of_case], resamples=2000, confidence=0.95, seed=0)
            for what in ("kept", "success")
        )
        after = sorted(each.left_after for each in of_case)
        print(
            f"{name} {'fails' if fails else 'works'}: keeps {kept.estimate:.2f} ({kept.low:.2f} to {kept.high:.2f}), "
            f"left after {after[len(after) // 2]} tasks (at most {after[-1]}; within {WITHIN} in "
            f"{sum(each <= WITHIN for each in after)} of {len(after)}), success {success.estimate:.3f} "
            f"({success.low:.3f} to {success.high:.3f})"
        )


if __name__ == "__main__":
    main()
