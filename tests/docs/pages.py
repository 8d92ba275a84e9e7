"""Runs the fenced blocks of the documentation pages and compares their output with the pages.

How a block is used depends on its language and on the HTML comment above it:

- ``python``: the block is run; all blocks of a page share one namespace. A ``text`` block that follows holds the expected output.
- ``console``: commands after ``$``, each followed by its expected output. Commands that begin with ``tmi`` are run.
- ``<!-- file: NAME -->`` above any block: it is written to a file in the page's folder and not run.
- ``<!-- about -->`` above the expected output: numbers may differ by 5 % (trained networks depend on the machine).
- ``<!-- needs: LIBRARY -->`` above a python block: where the library cannot be imported it is not run, and a warning says why.
- ``<!-- exit: N -->`` above a console block: the expected exit code of its last command.

``…`` in the expected output matches any text. ``python -m tests.docs.pages FILE…`` writes the actual output into the pages.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(
    r"(?:^ *<!-- (?P<mark>[^\n]*?) -->\n)?^(?P<indent> *)(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<body>.*?)^ *(?P=fence)$",
    re.M | re.S,
)
_NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass
class Block:
    """A fenced block: its text, its position in the page, and the comment above it."""

    language: str
    body: str
    mark: str
    indent: str  # the indentation of a block in a list
    line: int
    start: int
    end: int

    @property
    def file(self) -> str | None:
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None


@dataclass
class Printed:
    """The output of a block, and the output that its page expects."""

    where: str
    expected: str
    actual: str
    about: bool
    span: tuple[int, int]  # start and end of the expected text in the page
    indent: str = ""

    @property
    def correct(self) -> bool:
        return _same_numbers(self.expected, self.actual) if self.about else _same(self.expected, self.actual)


def blocks(text: str) -> list[Block]:
    return [
        Block(
            m["language"].strip(),
            textwrap.dedent(m["body"]),
            m["mark"] or "",
            m["indent"],
            text.count("\n", 0, m.start("body")),
            *m.span("body"),
        )
        for m in _FENCE.finditer(text)
    ]


def run(page: Path, folder: Path) -> Iterator[Printed]:
    """Run a page's blocks in order, inside a folder; yield the output of each block and command with expected output."""
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": page.stem}
    page_blocks = blocks(text)
    with contextlib.chdir(folder):
        for number, block in enumerate(page_blocks):
            following = page_blocks[number + 1] if number + 1 < len(page_blocks) else None
            where = f"{page.name}:{block.line}"
            if block.file:
                Path(block.file).parent.mkdir(parents=True, exist_ok=True)
                Path(block.file).write_text(block.body, encoding="utf-8")
            elif block.language == "python":
                if problem := _missing(block):
                    warnings.warn(f"{where} is not run: {problem}")
                    continue
                printed = _execute(block.body, where, namespace)
                if following and following.language == "text":
                    span = following.start, following.end
                    yield Printed(where, following.body, printed, following.mark == "about", span, following.indent)
            elif block.language == "console":
                yield from _commands(block, where)


def _missing(block: Block) -> str:
    """Return why the library that a block needs cannot be imported; an empty text if it can, or none is named."""
    library = block.mark.removeprefix("needs: ") if block.mark.startswith("needs: ") else ""
    try:
        if library:
            importlib.import_module(library)
        return ""
    except Exception as error:  # torchvision raises a RuntimeError where it does not fit the torch that is installed
        return f"{library} cannot be imported ({type(error).__name__}: {error})"


def _execute(code: str, where: str, namespace: dict[str, object]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, where, "exec"), namespace)
    return out.getvalue()


def _commands(block: Block, where: str) -> Iterator[Printed]:
    position = block.start
    commands: list[tuple[str, int, int]] = []  # the command, and start and end of its expected output in the page
    for line in block.body.splitlines(keepends=True):
        position += len(line)
        if line.startswith("$ "):
            commands.append((line[2:].strip(), position, position))
        elif commands:
            commands[-1] = (*commands[-1][:2], position)
    for number, (command, start, end) in enumerate(commands):
        words = shlex.split(command, comments=True)
        if words[0] != "tmi":
            continue
        code, output = _tmi(words[1:])
        is_last = number == len(commands) - 1
        expected_code = int(block.mark.removeprefix("exit: ")) if block.mark.startswith("exit: ") and is_last else 0
        assert code == expected_code, f"{where}: {command}: exit code {code}, expected {expected_code}\n{output}"
        if end > start:
            expected = block.body[start - block.start : end - block.start]
            yield Printed(f"{where}: {command}", expected, output, block.mark == "about", (start, end))


def _tmi(arguments: list[str]) -> tuple[int, str]:
    from click.testing import CliRunner

    from tmi.cli import main

    with warnings.catch_warnings():  # the command replaces the function that shows warnings
        result = CliRunner().invoke(main, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def _same(expected: str, actual: str) -> bool:
    pattern = "[\\s\\S]*?".join(map(re.escape, _stripped(expected).split("…")))
    return re.fullmatch(pattern, _stripped(actual)) is not None


def _same_numbers(expected: str, actual: str) -> bool:
    """Return whether the words are equal and the numbers differ by at most 5 % (or 0.05 for numbers below 1)."""
    words = [" ".join(_NUMBER.sub(" # ", text).split()) for text in (expected, actual)]
    numbers = [[float(n.replace("−", "-")) for n in _NUMBER.findall(text)] for text in (expected, actual)]
    if "…" in expected or len(numbers[0]) != len(numbers[1]):
        return False
    return words[0] == words[1] and all(abs(a - b) <= 0.05 * max(1, abs(a)) for a, b in zip(*numbers, strict=True))


def write(page: Path) -> None:
    """Write the actual output of a page's blocks into the page."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for printed in reversed(list(run(page, Path(folder)))):
            if not printed.correct:
                start, end = printed.span
                text = text[:start] + textwrap.indent(_stripped(printed.actual), printed.indent) + "\n" + text[end:]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    import tmi_datasets.sources.fashion_mnist

    os.environ.pop("TMI_STORE", None)
    os.environ.pop("TMI_FASHION_MNIST", None)
    # The pages show the numbers of the sample that ships with tmi.
    tmi_datasets.sources.fashion_mnist.SYSTEM_FOLDERS = ()  # type: ignore[assignment]
    for name in sys.argv[1:]:
        write(Path(name))
