"""The documents as a site (`make docs`): the repository's Markdown as it is, so that its links work in both places.

What only the site needs stands here, not in the documents: the order of the pages, and the way to the first one.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

CONTENTS = """

```{toctree}
:hidden:
:caption: Use
The README <../README>
use
workspace
programs
training
facts
original
```

```{toctree}
:hidden:
:caption: Run
deploy
settings
security
```

```{toctree}
:hidden:
:caption: Judge and change
measurements
architecture
decisions/index
LOG
../CONTRIBUTING
../CHANGELOG
```
"""
DECISIONS = """

```{toctree}
:hidden:
:glob:
0*
```
"""

project = "Life-Learn"
html_title = project
root_doc = "docs/index"
extensions = ["myst_parser"]
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".*", "node_modules", "reports", "site", "src", "tests"]
myst_heading_anchors = 3  # GitHub's own
html_theme = "furo"
html_theme_options = {  # the workspace's green
    "light_css_variables": {"color-brand-primary": "#007a50", "color-brand-content": "#007a50"},
    "dark_css_variables": {"color-brand-primary": "#00b478", "color-brand-content": "#00b478"},
}
html_favicon = "../src/lifelearn/workspace/static/icon.svg"
html_copy_source = False
html_show_copyright = False
html_use_index = False


def with_contents(_: Sphinx, name: str, source: list[str]) -> None:
    """Adds the order of the pages, which Markdown elsewhere would show as code."""
    source[0] += {root_doc: CONTENTS, "docs/decisions/index": DECISIONS}.get(name, "")


def write_front_page(app: Sphinx, error: Exception | None) -> None:
    """Leads from the site's root to its first page."""
    if error is None:
        page = f'<!doctype html><meta http-equiv="refresh" content="0; url={root_doc}.html"><title>{project}</title>\n'
        Path(app.outdir, "index.html").write_text(page, "utf-8")


def setup(app: Sphinx) -> None:
    app.connect("source-read", with_contents)
    app.connect("build-finished", write_front_page)
