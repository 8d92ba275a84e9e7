"""The paper's section 6 as a suite, and the comparison of mono- and polysemantic networks, with their reports."""

import tmi


@tmi.hookimpl
def tmi_suites():  # type: ignore[no-untyped-def]
    """Name the suites."""
    return {
        "dial": "tmi_paper:dial.toml",
        "dynamics": "tmi_paper:dynamics.toml",
        "monosemanticity": "tmi_paper:monosemanticity.toml",
        "paper": "tmi_paper:paper.toml",
        "paper-long": "tmi_paper:paper-long.toml",
        "pressure": "tmi_paper:pressure.toml",
        "warm-start": "tmi_paper:warm-start.toml",
    }


@tmi.hookimpl
def tmi_reports():  # type: ignore[no-untyped-def]
    """Name the reports that the suites ask for."""
    return {
        "dial": "tmi_paper.dial_report:sections",
        "dynamics": "tmi_paper.dynamics:sections",
        "monosemanticity": "tmi_paper.monosemanticity:sections",
        "paper": "tmi_paper.report:sections",
        "pressure": "tmi_paper.pressure:sections",
        "warm-start": "tmi_paper.warm_start:sections",
    }


@tmi.hookimpl
def tmi_probes():  # type: ignore[no-untyped-def]
    """Name the probes that only the paper's experiments need."""
    return {
        "confused-tiles": "tmi_paper.confused_tiles:confused_tiles",
        "reference-error": "tmi_paper.reference_error:reference_error",
        "squares-heuristics": "tmi_paper.heuristics:squares_heuristics",
    }
