import torch

from .cases import IMAGES, TARGETS, linear, of_linear, run, toy


def test_squares_and_variances_of_a_constant_gradient():
    module = linear()
    weight = of_linear(module, IMAGES, TARGETS)
    assert torch.allclose(run("smooth_grad_squared", module, IMAGES, TARGETS), weight**2, atol=1e-6)
    assert (run("var_grad", module, IMAGES, TARGETS) == 0).all()


def test_variance_by_the_formula():
    module = toy().double()
    image, target = IMAGES[:1].double(), TARGETS[:1]
    found = run("var_grad", module, image, target, draws=40, noise=0.1)
    squares, mean = (run(name, module, image, target, draws=40, noise=0.1) for name in ("smooth_grad_squared", "smooth_grad"))
    assert found.max() > 1e-5
    assert torch.allclose(found, squares - mean**2, atol=1e-12)
    assert (found >= 0).all()
