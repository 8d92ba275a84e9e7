"""Whether output has colours, by the variables of the environment that terminals and their users share."""

from __future__ import annotations

import os


def colour() -> bool | None:
    """Return whether the environment asks for colours; None leaves it to the stream: a terminal has them, a file has not.

    ``NO_COLOR``, where it is not empty, asks for none (https://no-color.org). Otherwise ``FORCE_COLOR`` and ``CLICOLOR_FORCE``
    ask for them in files and pipes too, unless they are 0; ``CLICOLOR=0``, ``FORCE_COLOR=0`` and ``TERM=dumb`` ask for none.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(name, "") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    if "0" in (os.environ.get("CLICOLOR"), os.environ.get("FORCE_COLOR")) or os.environ.get("TERM") == "dumb":
        return False
    return None
