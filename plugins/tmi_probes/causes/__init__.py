"""What causes the answer? Interventions on the activations of a layer, and what the logits become."""
