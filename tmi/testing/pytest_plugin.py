"""The pytest plug-in of tmi: a test that takes ``tmi_check`` is run once for each check of each name that a plug-in registers.

It is installed with tmi. In a test file:

.. code-block:: python

    @pytest.mark.tmi("tmi_demo")
    def test_plugin(tmi_check):
        tmi_check()

The marker takes what `tmi.testing.check_plugin` takes: ``@pytest.mark.tmi("tmi_demo", settings={"probe demo": {"steps": 3}})``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .checks import Check
    from .trial import Trial


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "tmi(plugin, *, settings, on): the plug-in that a test with tmi_check checks")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each check; see `tmi.testing.CHECKS`."""
    if "tmi_check" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("tmi")
    if marker is None or len(marker.args) != 1:
        raise pytest.UsageError('a test with tmi_check needs a mark that names its plug-in: @pytest.mark.tmi("my_package")')
    from tmi.errors import TmiError

    from .checks import CHECKS
    from .plugins import plugin_trials

    try:
        trials = plugin_trials(*marker.args, **marker.kwargs)
    except TmiError as error:
        raise pytest.UsageError(str(error)) from None
    pairs = [(trial, check) for trial in trials for check in CHECKS[trial.component.kind]]
    names = [f"{trial}: {check.__name__.removeprefix('check_')}" for trial, check in pairs]
    metafunc.parametrize("tmi_check", [_checker(trial, check) for trial, check in pairs], ids=names)


def _checker(trial: Trial, check: Check) -> Callable[[], None]:
    from .checks import WITHOUT_CALL
    from .plugins import problems_of

    def tmi_check() -> None:
        if check not in WITHOUT_CALL and not trial.answered:
            pytest.skip(f"{trial} cannot be tried: {trial.why_not}")
        if problems := problems_of(trial, check):
            pytest.fail("; ".join(f"{trial}: {problem}" for problem in problems), pytrace=False)

    return tmi_check
