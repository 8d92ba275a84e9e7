"""Draw the contact sheet of docs/own-images.md, of the pictures of its first block: ``python docs/make_own_images.py``."""

from __future__ import annotations

import tempfile
from contextlib import chdir
from pathlib import Path

from blocks import save

import tmi
from tmi.report.contact_sheet import contact_sheet

PAGE = Path(__file__).with_name("own-images.md")


def main() -> None:
    """Run the block, generate the data set as the page does, and save the figure."""
    block = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        exec(block, {})
        data = tmi.generate("folder", path="pictures", background="natural", samples=100)
    save("own-images", contact_sheet(data))


if __name__ == "__main__":
    main()
