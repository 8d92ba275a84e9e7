"""``python -m tmi`` is the command ``tmi``."""

from tmi.cli import main

if __name__ == "__main__":
    main()
