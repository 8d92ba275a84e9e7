"""Probing: the results of probes, the declarations of attribution methods and measures, and a check that nothing is modified."""
