"""``python -m tmi.cli`` is the command ``tmi``."""

from . import main

main()
