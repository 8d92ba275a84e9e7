"""Which networks a page shows: those of a suite's data set, from the store where it has them, or those that are named."""

from __future__ import annotations

import pytest

import tmi
from tmi.errors import TmiError, UnknownNameError
from tmi.plugins.registry import installed
from tmi.report.explorer.sources import from_names, from_suite
from tmi.store.store import Store

SUITE = {
    "name": "small",
    "seeds": [3, 4],
    "datasets": {
        "first": {"use": "squares", "samples": 10, "test_samples": 5},
        "second": {"use": "squares", "test_samples": 5, "sweep": {"samples": [20, 30]}},
    },
    "networks": {
        "built": {"use": "theorem1"},
        "sgd": {"use": "cnn", "kernel": 2, "epochs": 1, "batch_size": 5, "sweep": {"filters": [1, 2]}},
    },
    "probes": {"accuracy": {"use": "accuracy"}, "sparsity": {"use": "activation-sparsity"}},
}


@pytest.fixture(scope="module")
def suite():
    return tmi.load_suite(SUITE)


def labels(source):
    return [made.label for made in source.networks]


def test_by_default_the_first_data_set_and_one_network_of_each_table(suite, tmp_path):
    source = from_suite(suite, Store(tmp_path))
    assert (source.data.label, source.seed, labels(source)) == ("first", 3, ["built", "sgd[filters=1]"])


def test_data_set_seed_and_networks_can_be_chosen(suite, tmp_path):
    source = from_suite(suite, Store(tmp_path), dataset="second", seed=4, networks=("sgd*",))
    assert (source.data.label, source.seed) == ("second[samples=20]", 4)
    assert labels(source) == ["sgd[filters=1]", "sgd[filters=2]"]
    assert labels(from_suite(suite, Store(tmp_path), networks=("sgd[filters=2]",))) == ["sgd[filters=2]"]
    assert labels(from_suite(suite, Store(tmp_path), networks=("sgd", "built"))) == ["built", "sgd[filters=1]", "sgd[filters=2]"]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"dataset": "frist"}, "data set 'frist': suite small has none; did you mean \"first\"?"),
        ({"seed": 7}, "seed 7: data set 'first' of suite small has 3, 4"),
        ({"networks": ("x",)}, r"network x: data set 'first' of suite small has built, sgd\[filters=1\], sgd\[filters=2\]"),
    ],
)
def test_what_the_suite_does_not_have_is_named(suite, tmp_path, chosen, said):
    with pytest.raises(UnknownNameError, match=said):
        from_suite(suite, Store(tmp_path), **chosen)


def test_the_store_is_read_and_not_written(suite, tmp_path, monkeypatch):
    tmi.run(SUITE, tmp_path, only="first/*/accuracy seed 3")
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.h5")}
    monkeypatch.setattr("torch.optim.SGD.step", lambda *_: pytest.fail("trains"))
    monkeypatch.setattr("tmi_datasets.squares.squares", lambda **_: pytest.fail("generates"))
    source = from_suite(suite, Store(tmp_path))
    networks, failed = source.build(source.dataset())
    assert not failed
    assert [network.origin for network in networks.values()] == ["constructed", "trained"]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.h5")} == before


def test_without_a_store_they_are_made(suite, tmp_path):
    source = from_suite(suite, Store(tmp_path / "none"))
    networks, _ = source.build(source.dataset())
    again = tmi.build(
        "cnn", tmi.generate("squares", seed=3, samples=10, test_samples=5), seed=3, kernel=2, epochs=1, batch_size=5, filters=1
    )
    assert networks["sgd[filters=1]"].logits(source.dataset().test.images).equal(again.logits(source.dataset().test.images))
    assert not (tmp_path / "none").exists()


def test_names_may_have_settings():
    source = from_names(installed(), ("theorem1(realisation='literal')", "printed-squares"), "squares(samples=5)", seed=2)
    networks, _ = source.build(source.dataset())
    assert networks["theorem1(realisation='literal')"].layers[0] == "conv"
    assert source.dataset().seed == 2


@pytest.mark.parametrize("names", [("theorm1", "squares"), ("theorem1", "sqares"), ("theorem1(", "squares")])
def test_unknown_names_are_refused(names):
    with pytest.raises(TmiError):
        from_names(installed(), names[:1], names[1])
