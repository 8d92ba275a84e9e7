"""
More features than neurons
==========================

``superposed`` computes the same function as Theorem 1 with fewer neurons than features:
each feature is a direction, which the network knows. With fewer neurons the directions
are less orthogonal; with two for five features they differ too little for these
tolerances, and the network is only built as an approximation.
"""

import matplotlib.pyplot as plt
import numpy as np

import tmi

data = tmi.generate(
    "digits", seed=0, classes=5, image_size=12, samples=20, test_samples=200
)
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for axis, neurons in zip(axes, (4, 3, 2)):
    network = tmi.build(
        "superposed",
        data,
        neurons=neurons,
        code="dense",
        approximate=neurons == 2,
        seed=0,
    )
    matrix = network.directions("mixed").matrix
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    accuracy = tmi.probe("accuracy", network, data).metrics["accuracy"]
    drawn = axis.imshow(unit @ unit.T, cmap="RdBu_r", vmin=-1, vmax=1)
    axis.set(
        title=f"{neurons} neurons a place, accuracy {accuracy:g}", xticks=[], yticks=[]
    )
figure.colorbar(drawn, ax=axes, label="cosine of two features")
