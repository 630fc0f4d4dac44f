"""Exploration: where a task is sent and with which probability, for off-policy evaluation."""

import random
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.routing.serving.router import Decision


@dataclass(frozen=True)
class Routing:
    """``routed_to`` is None if a person decides; ``policy`` is ``greedy`` or ``explore:<share>``."""

    routed_to: str | None
    propensity: float | None
    policy: str

    def as_json(self) -> dict[str, Any]:
        return {"routed_to": self.routed_to, "propensity": self.propensity, "policy": self.policy}


def send(decision: Decision, explore: float, rng: random.Random) -> Routing:
    """Send a task to the best master, or to a random one for a share of the tasks.

    It is drawn evenly from the best master and the named alternatives. So no propensity is tiny, as it would be by
    probability, and hardly a task goes where it cannot belong; of what lies outside, the log says nothing, and an
    evaluation that needs it finds its weights too light. Tasks that are left to a person are not drawn for.
    """
    policy = f"explore:{explore:g}" if explore else "greedy"
    best = decision.master
    if decision.abstained or best is None:
        return Routing(None, None, policy)
    candidates = [best, *(name for name, _ in decision.alternatives)]
    sampled = rng.choice(candidates) if rng.random() < explore else best
    share = explore / len(candidates)
    return Routing(sampled, 1.0 - explore + share if sampled == best else share, policy)
