"""Which linear pieces is a network made of? The local linear form, and the regions on which it holds."""
