"""Configuration of the documentation: `make docs` builds it into build/docs/html."""

import os
import sys
from pathlib import Path

from sphinx.ext.napoleon.docstring import GoogleDocstring

from sdfido._version import __version__

sys.path.append(str(Path(__file__).resolve().parent / "_ext"))
os.environ.setdefault("NO_COLOR", "1")  # plain text from the command line

project = "sdfido"
author = "The sdfido developers"
copyright = "2026, The sdfido developers"
version = release = __version__

extensions = [
    "command_help",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_ext"]
html_theme = "furo"
html_title = "sdfido"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
pygments_style, pygments_dark_style = "friendly", "monokai"

# Markdown: definition lists, ::: fences, and links to headings.
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Docstrings: Google style.
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# Attributes have their type in the annotation: a colon in their first line does not end the name of a type.
GoogleDocstring._consume_inline_attribute = lambda self: ("", self._dedent(self._consume_to_end()))
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False

# Nothing is fetched while building, so names of other packages lead nowhere.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|numpy|np|PIL|matplotlib|networkx|collections|pathlib|os|typing|enum|abc|datetime)(\..*)?"),
    ("py:.*", r"(Tensor|Path|Any|Self|Callable|Sequence|Mapping|Iterator|Iterable|NDArray|Figure|Image(\.Image)?)"),
]

# What the copy button leaves out.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
