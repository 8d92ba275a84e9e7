"""``python -m tmi`` is the command ``tmi``."""

from tmi.cli import main

main()
