"""Settings of the architecture data set."""

from pydantic import Field

from cortex_pipelines.settings import PositiveInt, Settings


class ArchitectureExampleSettings(Settings):
    """Section ``architecture_examples`` of params.yaml; sizes and splits are in ``datasets``."""

    min_rule_edges: PositiveInt
    """Imports between two parts of a folder from which a direction is a rule; with fewer it may be
    chance: of 3 imports a quarter all point one way if each direction is as likely."""

    rule_agreement: float = Field(gt=0.5, le=1)
    """Share of these imports that has to point one way; the others are violations."""

    max_per_rule: PositiveInt
    """Most imports of each sort (allowed, injected) that become examples of one rule; which ones,
    the hash decides."""

    min_description_words: PositiveInt
    """A description with fewer words says too little to ask for something by it."""

    max_description_chars: PositiveInt
    """Longer descriptions are cut at the last sentence or word before it, in characters."""

    max_listed: PositiveInt
    """Most names in a list of an outline: what a module declares, what a package needs."""
