"""Sphinx configuration. Pages are read from a copy, into which reference pages are generated before each build."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import reference  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

project = "cortex-pipelines"
author = "The cortex-pipelines authors"
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "cortex-pipelines"
html_last_updated_fmt = None
html_copy_source = False
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
# types of signatures that have no entry of their own; pages and files still have to exist
nitpick_ignore_regex = [(r"py:.*", r".*")]


def setup(app: Sphinx) -> None:
    """Write the reference pages. Sphinx calls this first."""
    reference.write(Path(app.srcdir) / "reference")
