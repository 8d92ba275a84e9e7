"""Engines: compute the cells of a plan that are not in the store.

An engine is a function ``(cells, options) -> iterator of job results``. It yields one result per cell, in the order in which the
cells finish. `tmi.engines.serial` computes in this process, `tmi.engines.dask_engine` in several, here or on other machines.
"""
