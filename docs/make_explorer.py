"""Draw the picture of docs/explorer.md, a screenshot of the page in Chromium: ``python docs/make_explorer.py``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests.browser

from tests.browser import chromium
from tmi.plugins.registry import installed
from tmi.report.explorer import write
from tmi.report.explorer.sources import from_names

NETWORKS = ("theorem1", "superposed", "cnn")
SCENE = """(async x => {
    x.set({tile: 4, row: 7, col: 5});
    await new Promise(done => setTimeout(done, 300));
    const card = x.cards[1], mixed = card.layers[1];
    x.choose(card.network, mixed, x.strongest(card.network, mixed.layer));
    while (!document.querySelector('.fires .features')) await new Promise(done => setTimeout(done, 100));
    x.set({});
    await new Promise(done => setTimeout(done, 500));
})(document.querySelector('.tmi-explorer').explorer)"""


def main() -> None:
    """Write the page in a temporary folder, choose a neuron, and save the screenshot."""
    with tempfile.TemporaryDirectory() as folder, chromium() as page:
        file = Path(folder) / "explorer.html"
        write([from_names(installed(), NETWORKS, "fashion")], file, title="theorem1, superposed, cnn on fashion")
        page.open(file, width=1280, height=1480)
        page.evaluate(SCENE)
        page.screenshot(Path(__file__).parent / "figures" / "explorer.png")


if __name__ == "__main__":
    main()
