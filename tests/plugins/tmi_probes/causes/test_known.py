"""The known circuit comes from the windows that match, and holds the effects that the construction has."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import tmi
from tmi_probes.causes.known import known_circuit, strengths
from tmi_probes.causes.sites import sites_of

from ..toys import TASK, cnn_network, dataset
from .brute import built, drawn

EVERY = ["unit", "place", "direction"]


def test_strengths_are_those_of_the_windows():
    scenes = drawn(6)
    images = scenes.with_backgrounds(scenes.backgrounds.double()).images.numpy()
    found = strengths(scenes).toarray()
    windows = [(tile, row, col) for tile in range(4) for row in range(6) for col in range(6)]
    for i, image in enumerate(images):
        expected = [
            max(0.0, TASK.tiles[t].epsilon - np.abs(image[0, r : r + 3, c : c + 3] - TASK.tiles[t].values[0]).sum())
            for t, r, c in windows
        ]
        assert found[i] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("builder", "settings", "layer"),
    [
        ("theorem1", {}, "hidden"),
        ("superposed", {}, "mixed"),
        ("superposed", {"scope": "layer"}, "mixed"),
    ],
)
def test_each_window_is_carried_by_its_sites(builder, settings, layer):
    net = built(builder, **settings)
    shape = tuple(net.activations(drawn(1).images, layer)[layer].shape[1:])
    for sites in sites_of(net, layer, shape, EVERY, None, []):
        circuit = known_circuit(net, layer, shape, sites)
        carries = circuit.carries.toarray()
        assert carries.shape == (144, len(sites))
        assert circuit.logit.tolist() == np.repeat([0, 1, 1, 2], 36).tolist()
        if circuit.shared:
            matrix = net.directions(layer).matrix
            row = carries[5 * 36 // 5 + 7]  # tile 1 at (1, 1)
            by_hand = np.zeros(shape)
            by_hand[(slice(None), 1, 1) if len(shape) == 3 else slice(None)] = matrix[1 if len(shape) == 3 else 43]
            assert row == pytest.approx(by_hand.reshape(-1))
        else:
            assert (carries.sum(1) == 1).all()
        if sites.by == "place":
            assert carries[2 * 36 + 13].argmax() == 13  # tile 2 at (2, 1)


def test_effects_by_construction():
    net = built("theorem1")
    (units,) = sites_of(net, "hidden", (144,), ["unit"], None, [])
    circuit = known_circuit(net, "hidden", (144,), units)
    change = strengths(drawn(2))
    effects = circuit.effects(change[[1]] - change[[0]], np.array([1.0, -1.0, 0.0]))
    dense = change.toarray()
    assert effects == pytest.approx((dense[1] - dense[0]) * np.repeat([1, -1, -1, 0], 36))


def test_shared_neurons_of_what_is_not_measured_do_not_count():
    """An ablation replaces neurons of other classes too, which the label's logit does not read."""
    net = built("superposed")
    shape = tuple(net.activations(drawn(1).images, "mixed")["mixed"].shape[1:])
    (units,) = sites_of(net, "mixed", shape, ["unit"], None, [])
    circuit = known_circuit(net, "mixed", shape, units)
    change = csr_array(([0.2], ([0], [7])), shape=(1, 144))  # a window of class 0
    assert np.count_nonzero(circuit.effects(change, np.array([1.0, 0.0, 0.0]))) == shape[0]
    assert not circuit.effects(change, np.array([0.0, 1.0, 0.0])).any()


def test_nothing_is_known_of_trained_layers():
    net = cnn_network()
    (units, *_) = sites_of(net, "conv", (4, 6, 6), EVERY, None, [])
    assert known_circuit(net, "conv", (4, 6, 6), units) is None


def test_the_directions_of_rotated_neurons_are_the_circuit():
    """The same function in a basis of its own: single neurons are mixtures, directions are not."""
    data = dataset(4)
    net = tmi.build("disguised", data, seed=0, of="theorem1(realisation='literal')", disguises=["basis"])
    for probe, way in (("activation-patching", "noising."), ("ablation", "")):
        found = tmi.probe(probe, net, data, seed=0, layer="hidden").metrics
        assert [found[f"{rate}.{way}direction.hidden"] for rate in ("tpr", "fpr", "auc")] == [1, 0, 1]
        assert found[f"tpr.{way}unit.hidden"] < 1
