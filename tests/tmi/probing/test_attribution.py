from __future__ import annotations

import pytest

from tmi import PluginError
from tmi.probing import attribution


def test_declarations_are_checked():
    with pytest.raises(PluginError, match=r"need 'gradients' is unknown; did you mean .gradient"):
        attribution.attribution_method(needs=["gradients"])
    with pytest.raises(PluginError, match=r"topic 'localization' is unknown; did you mean .localisation"):
        attribution.attribution_measure(topic="localization")
