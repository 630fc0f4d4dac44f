"""Installed packages on whose versions outputs depend.

A package that an asset's code imports is part of that asset's code version, so another version of
it makes the asset stale instead of conflicting with what a team has installed. The versions stand
in ``data/parameters/packages.json``, where the stages of ``dvc.yaml`` read those that concern them.
"""

import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PYTHON = "python"  # name under which the interpreter stands: its minor version, of assets that parse Python with it
PARSERS_OF_PYTHON = frozenset({"ast", "tokenize"})
_GRAMMARS = tuple(f"tree-sitter-{name}" for name in ("go", "java", "javascript", "python", "rust", "typescript"))

DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "IPython": ("ipython",),
    "accelerate": ("accelerate",),
    "ast_grep_py": ("ast-grep-py",),
    "bitsandbytes": ("bitsandbytes",),
    "datasets": ("datasets",),
    "dlt": ("dlt",),
    "gguf": ("gguf",),
    "identify": ("identify",),
    "jinja2": ("jinja2",),
    "lightgbm": ("lightgbm",),
    "magika": ("magika",),
    "markupsafe": ("markupsafe",),
    "matplotlib": ("matplotlib",),
    "numpy": ("numpy",),
    "openvino": ("openvino",),
    "optuna": ("optuna",),
    "packaging": ("packaging",),
    "pandas": ("pandas",),
    "pathspec": ("pathspec",),
    "peft": ("peft",),
    "polars": ("polars",),
    "pyarrow": ("pyarrow",),
    "rapidfuzz": ("rapidfuzz",),
    "river": ("river",),
    "ruamel": ("ruamel-yaml",),
    "safetensors": ("safetensors",),
    "scipy": ("scipy",),
    "sentence_transformers": ("sentence-transformers",),
    "sklearn": ("scikit-learn",),
    "snowballstemmer": ("snowballstemmer",),
    "statsmodels": ("statsmodels",),
    "tokenizers": ("tokenizers",),
    "torch": ("torch",),
    "transformers": ("transformers",),
    "tree_sitter": ("tree-sitter", *_GRAMMARS),
    "trl": ("trl", "bitsandbytes"),
    "unearth": ("unearth",),
    "xllamacpp": ("xllamacpp",),
    "yaml": ("pyyaml",),
}
"""Distributions, by normalised name, of each module that is imported. A test sees that none is forgotten."""

ABSENT = "absent"  # in place of the version of an optional package that is not installed
UNRELATED = frozenset(
    {"cachetools", "cryptography", "filelock", "httpx2", "huggingface_hub", "psutil", "pydantic", "pydantic_core"}
    | {"pytest", "rich", "sqlalchemy", "threadpoolctl"}
)
"""Modules that cannot change an output: they move files, check settings, limit threads, keep what was
read or show progress."""


def distributions(modules: frozenset[str]) -> tuple[str, ...]:
    """Distributions behind imported top-level modules, sorted; ``python`` if it parses Python."""
    names = {name for module in modules for name in DISTRIBUTIONS.get(module, ())}
    return tuple(sorted(names | ({PYTHON} if modules & PARSERS_OF_PYTHON else set())))


@cache
def found_versions() -> dict[str, str]:
    """Version of each installed distribution by normalised name, from the names of their folders: to parse what is in
    them takes longer than most commands."""
    versions: dict[str, str] = {}
    for entry in sys.path:
        for path in Path(entry).glob("*.dist-info"):
            name, _, number = path.stem.rpartition("-")
            versions.setdefault(re.sub(r"[-_.]+", "-", name).lower(), number)
    return versions


@cache
def installed() -> dict[str, str]:
    """Version of each distribution in ``DISTRIBUTIONS``, and of Python."""
    names = {name for distributed in DISTRIBUTIONS.values() for name in distributed}
    versions = {PYTHON: ".".join(map(str, sys.version_info[:2]))}
    for name in sorted(names):
        try:
            # without the build: PyTorch for the processor and for CUDA are one version
            versions[name] = (found_versions().get(name) or version(name)).partition("+")[0]
        except PackageNotFoundError:
            versions[name] = ABSENT
    return versions
