"""Where a decided task is sent, and with which probability: what makes a log worth evaluating."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.routing.router import Decision


@dataclass(frozen=True)
class Sent:
    """Where a task is sent.

    Args:
        routed_to: The master; None where a person is asked, which is no decision of the policy.
        propensity: Probability with which the policy sends such a task there; None with it.
        policy: ``greedy``, or ``explore:<share>``.
    """

    routed_to: str | None
    propensity: float | None
    policy: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, under the names that the logs have for them."""
        return {
            "routed_to": self.routed_to,
            "propensity": self.propensity,
            "policy": self.policy,
        }


def send(decision: Decision, explore: float, chance: random.Random) -> Sent:
    """Send a task to the best master or, for a share of the tasks, to one that is drawn.

    A drawn master is drawn by its calibrated probability (with rules alone, by its score), so
    every master that might be right is tried now and then, and seldom one that cannot be. Tasks
    that are left to a person are never drawn for.

    Args:
        decision: What the router says.
        explore: Share of the tasks that are drawn for, 0 to 1; 0 always takes the best master.
        chance: What is drawn from.
    """
    policy = f"explore:{explore:g}" if explore else "greedy"
    best, shares = decision.master, _shares(decision.probabilities)
    if decision.abstained or best is None:
        return Sent(None, None, policy)
    if not explore or not shares:
        return Sent(best, 1.0, policy)
    drawn = best
    if chance.random() < explore:
        (drawn,) = chance.choices(list(shares), list(shares.values()))
    propensity = explore * shares.get(drawn, 0.0) + (1.0 - explore) * (drawn == best)
    return Sent(drawn, min(1.0, propensity), policy)


def _shares(scores: Mapping[str, float]) -> dict[str, float]:
    total = sum(scores.values())
    return {name: score / total for name, score in scores.items() if score > 0}
