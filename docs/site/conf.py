"""How `make docs` builds the site: Sphinx, over the Markdown files as they are (docs/decisions/0019)."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

project = "statelog"
release = version = version_of("statelog")

# The source directory is that of the repository, so that pages link to each other as they do in a repository browser.
root_doc = "docs/README"
include_patterns = ["README.md", "CHANGELOG.md", "docs/**.md"]
exclude_patterns = [".*", "build", "dist", "statelog-data", "**/__pycache__"]
extensions = ["myst_parser", "docstrings", "source_pages"]

# As GitHub makes them. Links are to headings of the third level at most, those of errors and alerts.
myst_heading_anchors = 3

autodoc_default_options = {"undoc-members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
add_module_names = False

# Whatever names something of ours has to find it. The types of Python and of libraries are not on this site.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!(operators|pipeline|schemas)\.).*"),
    (r"py:.*", r".*\.Value"),  # type variables
    (r"py:.*", r"pipeline\.(log|query|runtime)\..*|schemas\.(fields|instant)\..*"),  # internal
]

html_theme = "furo"
html_title = "statelog"
html_copy_source = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["wide.css"]
templates_path = ["templates"]
html_additional_pages = {"index": "index.html"}
