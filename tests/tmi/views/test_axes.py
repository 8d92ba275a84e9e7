from __future__ import annotations

import sys

import matplotlib as mpl
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.tmi import toys
from tmi.views.axes import outline, shortened


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**36 - 1))
def test_outline_separates_the_pixels_of_a_mask_from_others(rows, cols, bits):
    mask = np.array([bits >> i & 1 for i in range(rows * cols)], bool).reshape(rows, cols)
    inside = {(r, c) for r, c in np.argwhere(mask).tolist()}
    expected = {
        frozenset([(c - 0.5, r + dr), (c + 0.5, r + dr)]) if dr else frozenset([(c + dc, r - 0.5), (c + dc, r + 0.5)])
        for r, c in inside
        for dr, dc in ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))
        if (r + int(2 * dr), c + int(2 * dc)) not in inside
    }
    found = [frozenset(edge) for edge in outline(mask)]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_names_are_cut_and_hold_no_formula():
    assert shortened("a\n b") == "a b"
    assert shortened("x" * 50, 10) == "x" * 9 + "…"
    assert shortened("$x^2$") == r"\$x^2\$"


FIRST = """
import sys, types
import matplotlib as mpl
from matplotlib.backends import backend_agg
backend = types.ModuleType("notebook_backend")
class Canvas(backend_agg.FigureCanvasAgg):
    pass
backend.FigureCanvas = Canvas
class Loader:
    def find_spec(self, name, path=None, target=None):
        if name == "notebook_backend":
            from importlib.machinery import ModuleSpec
            return ModuleSpec(name, self)
    def create_module(self, spec):
        return backend
    def exec_module(self, module):
        mpl.interactive(True)  # as the one of Jupyter does when it is imported, which is at the first figure
sys.meta_path.insert(0, Loader())
mpl.rcParams["backend"] = "module://notebook_backend"
import numpy as np, tmi
assert not mpl.is_interactive()
tmi.FeatureTile(np.ones((2, 2)), 0.5).plot()
assert mpl.is_interactive()
"""


def test_the_first_figure_keeps_what_a_notebook_changes(tmp_path):
    """Otherwise no later figure of the notebook is shown."""
    done = toys.python("-c", FIRST, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_matplotlib_is_imported_by_drawing_alone(tmp_path):
    code = "import sys, numpy as np, tmi; tmi.FeatureTile(np.ones((2, 2)), 0.5)._repr_html_(); print('matplotlib' in sys.modules)"
    assert toys.python("-c", code, folder=tmp_path).stdout == "False\n"
    assert mpl.__name__ in sys.modules
