"""What the sections share: the names of networks, and how an entry is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tmi
    from tmi.runs.results import Entry

NETWORKS = {"theorem1": "constructed", "trained": "trained"}
"""The two networks that are compared on Fashion-MNIST tiles, and their names in the report."""


def first_entry(results: tmi.Results, **wanted: object) -> Entry | None:
    """Return the first entry with a result, or None."""
    known = {name: value for name, value in wanted.items() if name in ("dataset", "network", "probe") or name in results.columns}
    return next((entry for entry in results.select(**known) if entry.status == "ok"), None)
