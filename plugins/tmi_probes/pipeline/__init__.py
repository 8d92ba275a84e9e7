"""The steps that the probes share, in their order: scenes → layers → units → features → score with its controls."""
