"""The store: data sets, networks and results, one immutable HDF5 file each, named by its key."""
