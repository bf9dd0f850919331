"""The site that `make docs` builds from the Markdown of this repository, without a network.

The sources' root is the repository, so that a link works on the site as it does in the files.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from docstrings import as_restructured_text
from notes import show_why_not_run
from sphinx.application import Sphinx

import capc

project = "CaPC"
author = "the authors of CaPC"
release = capc.__version__
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [
    *(".*", "build", "capc", "config", "gc-emp-test", "models", "results", "scripts", "tests"),
    "**/node_modules",
]

extensions = ["myst_parser", "sphinx.ext.autodoc", "command_pages"]
smartquotes = False
myst_heading_anchors = 4
nitpicky = True
# Python's own documents and NumPy's are on the network, which a build does not ask.
nitpick_ignore_regex = [(r"py:.*", r".*")]
suppress_warnings = ["myst.header"]  # the changelog's headings repeat
autodoc_member_order = "bysource"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "Int64", "Float64", "Labels")}

html_theme = "furo"
html_title = "CaPC"
html_extra_path = ["index.html"]
html_copy_source = False
html_show_sphinx = False
templates_path: list[str] = []


def setup(app: Sphinx) -> None:
    """Docstrings are plain text with backticks, and what is a comment in a file is a note here."""
    app.connect("autodoc-process-docstring", as_restructured_text)
    app.connect("source-read", show_why_not_run)
