"""The state that a probe must leave unchanged: the module, its modes, hooks and gradients, torch, the global random state."""

import random

import numpy as np
import torch


def random_states():
    return random.getstate(), [*map(str, np.random.get_state())], torch.get_rng_state().tolist()  # noqa: NPY002


def state(network):
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    module = network.module
    return {
        "modes": [part.training for part in module.modules()],
        "hooks": [len(getattr(part, hook)) for part in module.modules() for hook in hooks],
        "asked": [p.requires_grad for p in module.parameters()],
        "attributes": [sorted(vars(part)) for part in module.modules()],
        "same objects": [id(p) for p in (*module.parameters(), *module.buffers())],
        "gradients": [None if p.grad is None else p.grad.tolist() for p in module.parameters()],
        "weights": {name: value.clone() for name, value in module.state_dict().items() if value.layout == torch.strided},
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random": random_states(),
    }
