"""Draw the notebook of docs/notebooks.md: ``python docs/make_notebook.py``.

The blocks of the page are run, and what their last values show is drawn. It needs Chromium: what an object shows is HTML.
"""

from __future__ import annotations

import ast
import base64
import io
import shutil
import subprocess
import tempfile
import warnings
from contextlib import chdir, redirect_stdout
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from blocks import FIGURES

PAGE = Path(__file__).with_name("notebooks.md")
SHOWN = ("samples=300", "trained = tmi.build", "result = tmi.probe", 'runs.plot("accuracy")')
"""A word of each block that is drawn; the others only run."""
WIDTH, HEIGHT = 900, 2400
STYLE = """
body { margin: 18px 24px; font: 14px/1.4 system-ui, "DejaVu Sans", sans-serif; background: white; color: #1a1a1a }
pre { background: #f5f5f5; border: 1px solid #ddd; padding: 8px 10px; margin: 12px 0 8px }
pre { font: 13px/1.4 "DejaVu Sans Mono", monospace }
pre.out { background: none; border: 0; padding: 0 10px; margin: 0 }
"""


def main() -> None:
    """Run the blocks, write what they show as a page, and take its picture."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("Chromium is not installed")
    mpl.use("agg")
    warnings.simplefilter("ignore")
    text = PAGE.read_text(encoding="utf-8")
    blocks = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        namespace: dict[str, Any] = {"__name__": "__main__"}
        cells = [cell(block, namespace) for block in blocks]
        chosen = [one for block, one in zip(blocks, cells, strict=True) if any(word in block for word in SHOWN)]
        page = f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>{"".join(chosen)}'
        Path("page.html").write_text(page, encoding="utf-8")
        options = [f"--window-size={WIDTH},{HEIGHT}", "--hide-scrollbars", "--no-sandbox", "--disable-gpu", "--headless"]
        subprocess.run([browser, *options, "--screenshot=page.png", "page.html"], check=True, capture_output=True, timeout=120)
        crop(Path("page.png"), FIGURES / "notebook.png")


def cell(code: str, namespace: dict[str, Any]) -> str:
    """Run a block as a notebook does, and return it with its output as HTML."""
    import matplotlib.pyplot as plt

    body = ast.parse(code)
    last = body.body.pop() if isinstance(body.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(body, PAGE.name, "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), PAGE.name, "eval"), namespace)
    output = f'<pre class="out">{escape(printed.getvalue())}</pre>' if printed.getvalue() else ""
    if value is not None:
        output += value._repr_html_()
    for number in plt.get_fignums():
        output += picture(plt.figure(number))
    plt.close("all")
    return f"<pre>{escape(code.strip())}</pre>{output}"


def picture(figure: Any) -> str:
    """Return a figure as Jupyter shows it."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    return f'<img src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'


def crop(source: Path, target: Path) -> None:
    """Save a picture without the rows of one colour at its end."""
    import numpy as np
    from PIL import Image

    image = Image.open(source).convert("RGB")
    rows = np.flatnonzero(np.ptp(np.asarray(image), axis=1).any(1))
    image.crop((0, 0, image.width, int(rows[-1]) + 18)).quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    main()
