"""Settings of annotation in ``params.yaml``."""

from typing import Annotated

from pydantic import Field

from cortex_pipelines.settings import Settings

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]


class QualityWeights(Settings):
    """Relative weights of the quality features."""

    documented: Weight
    """Has a docstring or doc comment."""
    short: Weight
    """Within ``max_lines``; less the longer it is beyond."""
    simple: Weight
    """Within ``max_cyclomatic`` and ``max_cognitive``; less the more it is beyond."""
    shallow: Weight
    """Within ``max_nesting``; less the deeper it is beyond."""
    few_parameters: Weight
    """Within ``max_parameters``; less the more it has beyond."""
    named: Weight
    """Has a name of at least three characters."""
    clean: Weight
    """Free of anti-patterns; half with one, a third with two."""
    parses: Weight
    """Free of syntax errors."""
    hand_written: Weight
    """Not generated, vendored or minified."""


class AnnotationSettings(Settings):
    """Thresholds of the code smells and weights of the quality score."""

    max_lines: Count
    """Lines of a function that are not blank, before it is long (pylint, max-statements)."""
    max_parameters: Count
    """Parameters of a function, receiver apart, before they are too many (pylint, max-args)."""
    max_cyclomatic: Count
    """Cyclomatic complexity before a function is complex (McCabe 1976)."""
    max_cognitive: Count
    """Cognitive complexity before a function is complex (SonarQube's default)."""
    max_nesting: Count
    """Levels of control structures before nesting is deep."""
    max_methods: Count
    """Methods of a type before it is a god class (pylint, max-public-methods)."""
    max_operators: Count
    """Logical operators of a condition before it is complex (SonarQube S1067)."""
    min_envied: Count
    """Accesses to another object's members before a method may envy it (Lanza and Marinescu 2006,
    few foreign data)."""
    envy_ratio: Count
    """How many times as often as its own members a method has to use another's to envy it."""
    quality_weights: QualityWeights
    """Weights of the quality's features."""
