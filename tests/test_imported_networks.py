"""Users' networks from a suite file alone: a few probes here, all of them by ``python -m tests.imported_networks``."""

from __future__ import annotations

import pytest

from tests import imported_networks
from tests.imported_networks import NETWORKS

ROWS = ("accuracy", "activation-sparsity", "background-robustness", "responsible-neurons", "feature-neurons", "disguises")


@pytest.mark.slow
def test_a_few_probes_and_methods(tmp_path):
    imported_networks.lab(tmp_path)
    methods = ("saliency", "deeplift", "grad-cam", "occlusion")
    patterns = (*(f"*/*/{row}" for row in ROWS), *(f"*/*/attribution-bench[method={method}*" for method in methods))
    probes, by_method, reasons = imported_networks.table(tmp_path, patterns)
    assert set(probes) == set(ROWS)
    assert set(by_method) >= set(methods)
    for cells in (*probes.values(), *by_method.values()):
        assert set(cells) == set(NETWORKS)
        assert not any(cell.startswith(("failed", "missing")) for cell in cells.values()), (cells, reasons)
    assert set(probes["accuracy"].values()) == set(by_method["saliency"].values()) == {"runs"}
    assert by_method["deeplift"]["ONNX"] == "runs"
    assert by_method["deeplift"]["torchvision style"].startswith("refused")  # its block has one ReLU for two uses
    text = imported_networks.as_markdown(probes, by_method, reasons)
    assert text.count("\n| ") == len(probes) + len(by_method) + 1
