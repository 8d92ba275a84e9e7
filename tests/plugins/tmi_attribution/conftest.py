from __future__ import annotations

import pytest

from tests.plugins.tmi_probes.toys import cnn_network, dataset


@pytest.fixture(scope="module")
def data():
    return dataset(40)


@pytest.fixture(scope="module")
def trained():
    return cnn_network()
