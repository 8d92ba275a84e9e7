"""A map, its negation, its absolute value and noise, by every measure of fidelity; the table is printed by the benchmark."""

import pytest

import tmi
from tests.benchmarks.fidelity import CANNOT, rows

CONTRIBUTIONS = ("infidelity", "sensitivity_n")


@pytest.fixture(scope="module")
def data():
    return tmi.generate("fashion", seed=0, tiles_per_class=1, samples=2000, test_samples=100)


@pytest.mark.slow
def test_theorem_1(data):
    for row in rows([(tmi.build("theorem1", data), data)], 40):
        assert row.undefined == 0, row
        assert row.verdicts["absolute"] == ("equal" if row.measure != "sensitivity_max" else row.verdicts["absolute"]), row
        if row.measure == "sensitivity_max":
            assert row.verdicts["negation"] == "equal", row
            assert row.means["noise"] == 0, row
        else:
            assert (row.verdicts["negation"], row.verdicts["noise"]) == ("worse", "worse"), row


@pytest.mark.slow
def test_a_trained_network(data):
    trained = tmi.build("cnn", data, seed=0, epochs=10, hidden=64, lr=0.1, batch_size=50)
    for row in rows([(trained, data)], 40):
        assert row.undefined == 0, row
        if row.measure == "sensitivity_max":
            assert row.verdicts["negation"] == "equal", row
            continue
        assert row.verdicts["negation"] == "worse", row
        assert row.measure in CANNOT or row.verdicts["noise"] == "worse", row
        # Measures that rank see an order alone: that of |a| is not always worse.
        assert row.measure not in CONTRIBUTIONS or row.verdicts["absolute"] == "worse", row
