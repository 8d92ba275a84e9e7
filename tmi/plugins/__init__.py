"""Plug-ins: find the function behind a registered name, and fingerprint its code."""
