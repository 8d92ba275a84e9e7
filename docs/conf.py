"""Configuration of Sphinx: the pages are Markdown, read by MyST; the reference of the Python interface comes from docstrings."""

import sys
from pathlib import Path

import tmi

sys.path.insert(0, str(Path(__file__).parent))  # gallery.py

project = "tmi"
copyright = "the tmi authors"
author = "the tmi authors"
version = release = tmi.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "examples", "sg_execution_times.rst"]

# Docstrings put names in single backticks: names that are documented become links, all others are shown as code.
default_role = "py:obj"
autodoc_typehints = "none"  # the docstrings state types, with shapes and ranges
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_use_param = False  # otherwise Sphinx would look up the words of "Tensor, shape (N, C)" as names of types

myst_heading_anchors = 3

html_theme = "furo"
html_title = f"tmi {version}"
html_show_sourcelink = False


sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "_gallery",
    "within_subsection_order": "gallery.Order",
    "abort_on_example_error": True,
    "reset_modules": ("matplotlib", "gallery.use_style"),
    "show_memory": False,
    "min_reported_time": 0,
    "write_computation_times": False,
    "show_signature": False,
    "copyfile_regex": "",
    "download_all_examples": False,
    "nested_sections": False,
    "image_srcset": ["2x"],
}
