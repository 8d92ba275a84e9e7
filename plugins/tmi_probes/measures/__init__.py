"""The formulas behind the probes: arrays in, numbers out, with no network in sight."""
