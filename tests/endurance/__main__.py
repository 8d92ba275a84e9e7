"""One table of what the store and the engines must show: ``python -m tests.endurance [--quick] [PART…]``.

Exit code 1 if anything does not hold. Times are printed and never judged.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .rows import Row

PARTS = ("kills", "together", "dask_kills", "bytes", "full_disk", "scale", "hostile", "agreement")
MARKS = {True: "[green]yes[/green]", False: "[bold red]NO[/bold red]", None: "–"}
LIMIT = 3600.0  # seconds of one part, after which it counts as hanging


def measure(part: str, quick: bool) -> list[Row]:
    """Run one part in a process of its own: it may fork, mount, and leave threads behind."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "tests.endurance", "--alone", part, *(["--quick"] if quick else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        answer, _ = process.communicate(timeout=LIMIT)
        return [Row(**row) for row in json.loads(answer.splitlines()[-1])]
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        why = f"it hangs ({LIMIT:g} s)" if isinstance(error, subprocess.TimeoutExpired) else f"it ended with {process.returncode}"
        return [Row(part, "it comes to an end", why, time.perf_counter() - begun, False)]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@click.command()
@click.option("--quick", is_flag=True, help="A shorter form of each part, three minutes in all.")
@click.option("--alone", is_flag=True, hidden=True)
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
def main(quick: bool, alone: bool, parts: tuple[str, ...]) -> None:
    """Print what is asked, what was found, and how long that took."""
    if alone:
        found = importlib.import_module(f".{parts[0]}", __package__).rows(quick)
        print(json.dumps([row.as_dict() for row in found]))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part that runs is ended too
    chosen, begun = parts or PARTS, time.perf_counter()
    table = Table(title="What the store and the engines must show" + (", short form" if quick else ""), show_lines=False)
    for column in ("part", "asked", "found", "holds", "s"):
        table.add_column(column, justify="right" if column == "s" else "left", overflow="fold")
    all_rows: list[Row] = []
    progress = Console(stderr=True)
    for part in chosen:
        progress.print(f"{part} …", style="dim")
        rows = measure(part, quick)
        all_rows += rows
        for place, row in enumerate(rows):
            first = part if place == 0 else ""
            table.add_row(
                first,
                escape(row.asked),
                escape(row.found),
                MARKS[row.holds],
                f"{row.seconds:.1f}",
                end_section=place == len(rows) - 1,
            )
    wrong = sum(row.holds is False for row in all_rows)
    Console(width=max(150, Console().width)).print(table)
    print(f"{len(all_rows)} asked, {wrong} wrong, {time.perf_counter() - begun:.0f} s")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
