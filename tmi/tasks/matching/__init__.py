"""Exact, sparse L1 template matching, on the CPU and on devices, with a plain reference version that both are tested against."""
