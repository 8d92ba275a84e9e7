"""Runs that survive: what the store and the engines must show, each measured. ``python -m tests.endurance`` prints one table.

A part is a module with a function ``rows(quick)``. Each runs in a process of its own: several fork, kill and mount.
"""

from __future__ import annotations
