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
    """Within ``max_lines``; decreases beyond it."""
    simple: Weight
    """Within ``max_cyclomatic`` and ``max_cognitive``; decreases beyond them."""
    shallow: Weight
    """Within ``max_nesting``; decreases beyond it."""
    few_parameters: Weight
    """Within ``max_parameters``; decreases beyond it."""
    named: Weight
    """Has a name of at least three characters."""
    clean: Weight
    """Free of code smells; half with one, a third with two."""
    parses: Weight
    """Free of syntax errors."""
    hand_written: Weight
    """Not generated, vendored or minified."""


class AnnotationSettings(Settings):
    """Thresholds of the code smells and weights of the quality score."""

    max_lines: Count
    """Maximum number of non-blank lines of a function; above it is long (pylint, max-statements)."""
    max_parameters: Count
    """Maximum number of parameters of a function, without the receiver (pylint, max-args)."""
    max_cyclomatic: Count
    """Maximum cyclomatic complexity of a function (McCabe 1976)."""
    max_cognitive: Count
    """Maximum cognitive complexity of a function (SonarQube's default)."""
    max_nesting: Count
    """Maximum nesting depth of control structures."""
    max_methods: Count
    """Maximum number of methods of a type; above it is a god class (pylint, max-public-methods)."""
    max_operators: Count
    """Maximum number of logical operators in a condition (SonarQube S1067)."""
    min_envied: Count
    """Minimum number of accesses to another object's members for feature envy (Lanza and Marinescu
    2006, few foreign data)."""
    envy_ratio: Count
    """Minimum ratio of foreign to own member accesses for feature envy."""
    quality_weights: QualityWeights
    """Weights of the quality score."""
