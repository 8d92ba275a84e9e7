"""The store: one immutable HDF5 file for each data set, network and result, named by its key."""
