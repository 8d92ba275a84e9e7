"""Draws docs/figures/architecture.svg from the order of packages in pyproject.toml and the first lines of their docstrings."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
WIDTH, LEFT, GAP, LINE = 940, 20, 10, 16


def layers() -> list[list[str]]:
    """Return the packages of each layer, from the top down."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    stated = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    return [[name for name in re.split(r"\s*[|:]\s*", layer) if not name.startswith("_")] for layer in stated]


def sentence(package: str) -> str:
    """Return the first line of a package's or module's docstring."""
    path = ROOT / "tmi" / package / "__init__.py"
    tree = ast.parse((path if path.exists() else ROOT / "tmi" / f"{package}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0].replace("``", "")


def counted() -> set[str]:
    """Return the packages whose code is part of every cache key."""
    sys.path.insert(0, str(ROOT))
    from tmi.plugins.fingerprint import CORE

    return {part.removesuffix(".py") for part in CORE}


def draw() -> str:
    """Return the picture as SVG."""
    in_keys = counted()
    boxes, top = [], 44
    for names in layers():
        wide = (WIDTH - 2 * LEFT - GAP * (len(names) - 1)) / len(names)
        texts = [textwrap.wrap(sentence(name), int(wide / 7.1)) for name in names]
        high = 30 + LINE * max(map(len, texts))
        for number, (name, lines) in enumerate(zip(names, texts, strict=True)):
            left = LEFT + number * (wide + GAP)
            fill = "#FBEEDC" if name in in_keys else "#EEF3F8"
            boxes.append(
                f'<rect x="{left:.0f}" y="{top}" width="{wide:.0f}" height="{high}" rx="5" fill="{fill}" stroke="#7a7a7a"/>'
            )
            boxes.append(f'<text x="{left + 10:.0f}" y="{top + 20}" font-weight="bold">{escape(name)}</text>')
            for row, line in enumerate(lines):
                boxes.append(f'<text x="{left + 10:.0f}" y="{top + 38 + LINE * row}" fill="#333333">{escape(line)}</text>')
        top += high + GAP
    caption = "Each package of tmi imports only packages below it. The code of the orange ones is part of every cache key."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 6}" role="img" aria-label="{escape(caption)}" '
        'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{top + 6}" fill="white"/>\n'
        f'<text x="{LEFT}" y="26" font-size="13">{escape(caption)}</text>\n' + "\n".join(boxes) + "\n</svg>\n"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(draw())
    else:
        path = ROOT / "docs/figures/architecture.svg"
        path.write_text(draw(), encoding="utf-8")
        print(path)
