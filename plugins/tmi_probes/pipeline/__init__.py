"""The steps that the probes share, a file a step: scenes → logits, or layers → units → features → score beside its controls.

`scenes` chooses test scenes, `designs` makes scenes in which each tile at a place occurs often, `logits` reads predictions,
`units` reads the activations of layers, `samples` makes a layer a table of samples, `features` says what each image shows,
`layer_scores` is the program that scores layers beside chance, the untrained network and the oracle, and `result` collects
metrics with their controls.
"""
