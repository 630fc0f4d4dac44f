"""A prepared request and the backend that answers it."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cortex_pipelines.release.answering import Condition, shows_context
from cortex_pipelines.release.experiments.running import Assignment
from cortex_pipelines.serving.catalogue import ServedModel
from cortex_pipelines.serving.engines.engine import Job, LoadedAdapter, Prompt, Sampling, TextDelta
from cortex_pipelines.serving.request_prompts import RenderedPrompt
from cortex_pipelines.serving.rollout import Split, Variant


@dataclass(frozen=True)
class Backend:
    """The backend that answers a request.

    Args:
        served: The requested model.
        way: The condition; differs from the release's if an adapter could not be loaded.
        adapter: Its adapter; None for the base model, or for a merged one.
        notice: Why the answer deviates from the release; empty otherwise.
        trial: A running canary, and whether it or the champion answers; None without one.
        upstream: Name of the upstream server's model that answers; empty for none.
        assigned: Assignment to an experiment; None without one.
        identity: Unique id of the answer, which votes refer to.
    """

    served: ServedModel
    way: Condition
    adapter: LoadedAdapter | None
    notice: str
    trial: tuple[Split, Variant] | None = None
    upstream: str = ""
    assigned: Assignment | None = None
    identity: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)

    @property
    def version(self) -> str:
        """The adapter's DVC version if it answers, else the base's digest.

        ``upstream:NAME`` stands for the unverified base of an upstream server.
        """
        release = self.served.release
        if self._adapted and release.adapter:
            return release.adapter
        return f"upstream:{self.upstream}" if self.upstream else release.base

    @property
    def variant_propensity(self) -> tuple[str | None, float | None]:
        """Variant of a canary or arm of an experiment, with its propensity."""
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
        """Version of the release that answers; of the base if the adapter could not be loaded."""
        release = self.served.release
        index = release.index if shows_context(self.way) else None
        adapter = release.adapter if self._adapted else None
        upstream = self.upstream or None
        effective_release = replace(release, way=self.way, adapter=adapter, index=index, upstream=upstream)
        template_version = self.served.templates.version
        if not template_version:  # the package's templates are covered by the format number in the release
            return effective_release.version
        return hashlib.sha256(f"{effective_release.version} {template_version}".encode()).hexdigest()[:32]

    @property
    def attributes(self) -> Mapping[str, str]:
        """Attributes for a trace span."""
        return {
            "cortex.model": self.served.name,
            "cortex.way": self.way,
            "cortex.version": self.version,
            "cortex.release": self.release,
        }


@dataclass(frozen=True)
class PreparedRequest:
    """A request that is ready for the engine.

    Args:
        backend: The backend.
        text: The rendered prompt.
        prompt: The prompt as tokens.
        sampling: Decoding parameters.
        count: Number of answers.
        flags: The output filter's rules that matched; filled while answers are generated.
        key: Cache key; None if the answers are not cached.
        cached_deltas: The answers, if they are cached.
    """

    backend: Backend
    text: RenderedPrompt
    prompt: Prompt
    sampling: Sampling
    count: int = 1
    flags: set[str] = field(default_factory=set, compare=False)
    key: bytes | None = None
    cached_deltas: tuple[TextDelta, ...] | None = field(default=None, repr=False)

    @property
    def cut(self) -> int:
        """Tokens left out for lack of room."""
        return self.text.cut + self.prompt.cut

    @property
    def job(self) -> Job:
        """The engine's job."""
        return Job(self.backend.adapter, self.prompt, self.sampling, self.count)
