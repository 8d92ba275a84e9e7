"""The steps that the probes share, a file a step: scenes → logits, or layers → units → features → score beside its controls.

`scenes` chooses test scenes, `logits` reads predictions, `units` reads the activations of layers, `samples` makes a layer a table
of samples, `features` says what each image shows, `recovery` scores units against features, and `result` collects metrics with
their controls.
"""
