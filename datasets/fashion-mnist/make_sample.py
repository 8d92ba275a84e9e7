"""Writes the sample: the first 100 images of each class of Fashion-MNIST's training set, in the order of that set."""

from __future__ import annotations

import argparse
import gzip
import hashlib
from pathlib import Path

import numpy as np

from tmi_datasets.sources.fashion_mnist import load, locate
from tmi_datasets.sources.idx import encode

IMAGES_PER_CLASS = 100


def main() -> None:
    """Read the full set from one folder, check it, and write the sample and SHA256SUMS to another folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="folder with the IDX files of the full set")
    parser.add_argument("target", type=Path, help="folder to write to")
    arguments = parser.parse_args()

    images, labels = load(locate(arguments.source))
    first = np.sort(np.concatenate([np.flatnonzero(labels == label)[:IMAGES_PER_CLASS] for label in range(10)]))
    arguments.target.mkdir(parents=True, exist_ok=True)
    sums = []
    for name, array in (("sample-images-idx3-ubyte", images[first]), ("sample-labels-idx1-ubyte", labels[first])):
        content = encode(array)
        packed = gzip.compress(content, 9, mtime=0)  # without a time stamp, so that the bytes are the same every time
        (arguments.target / f"{name}.gz").write_bytes(packed)
        sums.append(f"{hashlib.sha256(packed).hexdigest()}  {name}.gz\n")
        print(f"{hashlib.sha256(content).hexdigest()}  {name} (uncompressed)")
    (arguments.target / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main()
