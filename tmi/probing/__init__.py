"""What probes return and declare, and the check that they change nothing."""
