"""Exploration: where a task is sent and with which probability, for off-policy evaluation."""

import random
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.routing.serving.router import Decision


@dataclass(frozen=True)
class Routing:
    """Destination of a task.

    Args:
        routed_to: The master; None if a person decides instead of the policy.
        propensity: Probability with which the policy sends such a task there, or None.
        policy: ``greedy``, or ``explore:<share>``.
    """

    routed_to: str | None
    propensity: float | None
    policy: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the field names of the logs."""
        return {"routed_to": self.routed_to, "propensity": self.propensity, "policy": self.policy}


def send(decision: Decision, explore: float, rng: random.Random) -> Routing:
    """Send a task to the best master, or to a random one for a share of the tasks.

    It is drawn evenly from the best master and the named alternatives. So no propensity is
    tiny, as it would be by probability, and hardly a task goes where it cannot belong, as it would
    if all masters were drawn from; of what lies outside, the log says nothing, and an evaluation
    that needs it finds its weights too light. Tasks that are left to a person are not drawn for.

    Args:
        decision: What the router says.
        explore: Share of the tasks that are drawn for, 0 to 1; 0 always takes the best master.
        rng: What is drawn from.
    """
    policy = f"explore:{explore:g}" if explore else "greedy"
    best = decision.master
    if decision.abstained or best is None:
        return Routing(None, None, policy)
    candidates = [best, *(name for name, _ in decision.alternatives)]
    sampled = rng.choice(candidates) if rng.random() < explore else best
    share = explore / len(candidates)
    return Routing(sampled, 1.0 - explore + share if sampled == best else share, policy)
