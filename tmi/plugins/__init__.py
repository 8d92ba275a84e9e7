"""Plug-ins: from a registered name to the function it stands for and the fingerprint of its code."""
