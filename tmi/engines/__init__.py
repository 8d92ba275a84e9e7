"""Engines compute the cells of a plan that are not in the store.

An engine is a function ``(cells, options) -> iterator of job results``, one result a cell, in the order in which they finish:
`tmi.engines.serial` in this process, `tmi.engines.dask_engine` in several processes or on several machines.
"""
