from pydantic import Field

from cortex_pipelines.settings import PositiveInt, Settings


class ArchitectureExampleSettings(Settings):
    """Section ``architecture_examples`` of params.yaml; sizes and splits are in ``datasets``."""

    min_rule_edges: PositiveInt
    """Minimum number of imports between two parts of a folder for a dependency rule; fewer may be
    chance: with 3 imports in random directions, a quarter of the cases all point one way."""

    rule_agreement: float = Field(gt=0.5, le=1)
    """Minimum share of these imports in the rule's direction; the others are violations."""

    max_per_rule: PositiveInt
    """Maximum number of examples per rule and origin (allowed, injected), chosen by hash."""

    min_description_words: PositiveInt
    """Minimum number of words in a description that is used as a requirement."""

    max_description_chars: PositiveInt
    """Maximum description length in characters; longer ones are cut after a sentence or word."""

    max_listed: PositiveInt
    """Maximum number of names per list in an outline, such as a module's declarations."""
