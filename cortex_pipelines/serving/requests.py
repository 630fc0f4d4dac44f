"""A request to the gateway, and what answers it."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cortex_pipelines.release.answering import Condition, shows_context
from cortex_pipelines.release.experiments.running import Assignment
from cortex_pipelines.serving.catalogue import Served
from cortex_pipelines.serving.engines.engine import Job, Prompt, Ready, Sampling, TextDelta
from cortex_pipelines.serving.request_prompts import Text
from cortex_pipelines.serving.rollout import Split, Variant


@dataclass(frozen=True)
class Answering:
    """What answers a request.

    Args:
        served: The model that was asked for.
        way: How it is answered, which is not the release's where an adapter could not be loaded.
        ready: Its adapter; None for the base alone, or one that has it in its weights.
        notice: Why it is not answered as released; empty otherwise.
        trial: The canary that is tried, and whether it or the champion answers; None without one.
        upstream: Name of an upstream server's model that writes the answer; empty for none.
        assigned: The experiment that it belongs to; None for none.
        identity: Of the answer; part of the id by which votes name it.
    """

    served: Served
    way: Condition
    ready: Ready | None
    notice: str
    trial: tuple[Split, Variant] | None = None
    upstream: str = ""
    assigned: Assignment | None = None
    identity: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)

    @property
    def version(self) -> str:
        """The adapter's DVC version where it answers, else the base's digest; that of an upstream
        server's base is not known, and its name stands for it."""
        release = self.served.release
        if self._adapted and release.adapter:
            return release.adapter
        return f"upstream:{self.upstream}" if self.upstream else release.base

    @property
    def drawn(self) -> tuple[str | None, float | None]:
        """Variant of a canary or arm of an experiment, and the probability that it was drawn."""
        if self.assigned is not None:
            plan, arm = self.assigned.plan, self.assigned.arm
            return f"{plan.id}:{arm}", plan.share if arm == "b" else 1 - plan.share
        if self.trial is None:
            return None, None
        split, variant = self.trial
        share = 0.0 if split.shadow else float(split.plan.get("share", 0))
        return variant, share if variant == "canary" else 1 - share

    @property
    def _adapted(self) -> bool:
        return self.way in ("adapter", "both")

    @property
    def release(self) -> str:
        """Version of the release that answers; of the base alone where its adapter could not."""
        release = self.served.release
        index = release.index if shows_context(self.way) else None
        adapter = release.adapter if self._adapted else None
        upstream = self.upstream or None
        made = replace(release, way=self.way, adapter=adapter, index=index, upstream=upstream)
        own = self.served.templates.version
        if not own:  # for the package's, the number in the release stands
            return made.version
        return hashlib.sha256(f"{made.version} {own}".encode()).hexdigest()[:32]

    @property
    def attributes(self) -> Mapping[str, str]:
        """What answers, for a span."""
        return {
            "cortex.model": self.served.name,
            "cortex.way": self.way,
            "cortex.version": self.version,
            "cortex.release": self.release,
        }


@dataclass(frozen=True)
class PreparedRequest:
    """A request that can be handed to the engine.

    Args:
        answering: What answers.
        text: The prompt as text.
        prompt: The prompt as tokens.
        sampling: How the answer is chosen.
        count: How many answers.
        flags: Rules that something in the answers was known by, once they are written.
        key: Under which the answers are remembered; None where they are not.
        known: The answers, if they were given already.
    """

    answering: Answering
    text: Text
    prompt: Prompt
    sampling: Sampling
    count: int = 1
    flags: set[str] = field(default_factory=set, compare=False)
    key: bytes | None = None
    known: tuple[TextDelta, ...] | None = field(default=None, repr=False)

    @property
    def cut(self) -> int:
        """Tokens that there was no room for."""
        return self.text.cut + self.prompt.cut

    @property
    def job(self) -> Job:
        """What the engine is asked."""
        return Job(self.answering.ready, self.prompt, self.sampling, self.count)
