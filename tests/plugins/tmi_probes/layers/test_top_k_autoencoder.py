import numpy as np

from tmi_probes.layers.top_k_autoencoder import TopKAutoencoder


def test_the_autoencoder_reconstructs_and_keeps_k():
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((8, 12)).astype(np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = rng.random((800, 8), np.float32) * (rng.random((800, 8)) < 0.15)
    samples = codes @ atoms
    model = TopKAutoencoder(16, 3, 0, 800).fit(samples)
    found = model.transform(samples)
    assert ((found != 0).sum(1) <= 3).all()
    assert (found >= 0).all()
    assert np.square(model.restore(found) - samples).sum() < 0.1 * np.square(samples - samples.mean(0)).sum()
    assert np.allclose(np.linalg.norm(model.decoder.numpy(), axis=1), 1, atol=1e-5)
    assert (TopKAutoencoder(4, 9, 0, 5).fit(samples[:5]).transform(samples[:1]) != 0).sum() <= 4
