"""
A method of your own
====================

An attribution method is a function of a module, images and targets. Give it to the
bench as it is: it is scored like every other, beside the controls.
"""

import matplotlib.pyplot as plt
import torch

import tmi


def blurred_gradient(module, images, targets):
    """Gradient × image, averaged over 5×5 pixels."""
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        module(images).gather(1, targets[:, None]).sum(), images
    )
    return torch.nn.functional.avg_pool2d(
        gradient * images.detach(), 5, stride=1, padding=2
    )


data = tmi.generate("fashion", seed=0, samples=600, test_samples=100)
network = tmi.build("cnn", data, seed=0, batch_size=20, epochs=8)
names = ["random", "sobel", "saliency", "input-x-gradient", blurred_gradient]
results = [
    tmi.probe(
        "attribution-bench",
        network,
        data,
        method=name,
        images=30,
        measures=["mass", "auc"],
    )
    for name in names
]
skill = [result.metrics["skill.mean"] for result in results]

# %%
# One trained network is one sample: which of two methods is better is a question about
# several training seeds, which :doc:`/statistics` answers.

figure, axis = plt.subplots(figsize=(6, 2.6))
labels = [name if isinstance(name, str) else name.__name__ for name in names]
skill = [result.metrics["skill.mean"] for result in results]
axis.barh(labels[::-1], skill[::-1], color=["#D55E00"] + ["#0072B2"] * 4)
axis.axvline(0, color="black", linewidth=0.8)
axis.set(xlabel="skill of localisation (0 a random map, 1 the true mask)")
