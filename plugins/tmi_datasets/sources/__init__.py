"""Where pixels come from: Fashion-MNIST, files in the IDX format, and what ships with the package."""
