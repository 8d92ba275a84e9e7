"""Sphinx: Markdown pages by MyST, the Python interface from the docstrings."""

import tmi

project = "tmi"
copyright = "the tmi authors"
author = "the tmi authors"
version = release = tmi.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]

# Docstrings name things in single backticks; what is documented becomes a link, the rest is left as code.
default_role = "py:obj"
autodoc_typehints = "none"  # the docstrings say it, with shapes and ranges
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_use_param = False  # "shape (N, C)" is no reference to something called shape

myst_heading_anchors = 3

html_theme = "furo"
html_title = f"tmi {version}"
html_show_sourcelink = False
