"""The paper's section 6 as a suite, its own probe, and its report."""

import tmi


@tmi.hookimpl
def tmi_suites():  # type: ignore[no-untyped-def]
    """Name the suites."""
    return {"paper": "tmi_paper:paper.toml"}


@tmi.hookimpl
def tmi_reports():  # type: ignore[no-untyped-def]
    """Name the report that suite ``paper`` asks for."""
    return {"paper": "tmi_paper.report:sections"}


@tmi.hookimpl
def tmi_probes():  # type: ignore[no-untyped-def]
    """Name the probes that only the paper's experiments need."""
    return {"squares-heuristics": "tmi_paper.heuristics:squares_heuristics"}
