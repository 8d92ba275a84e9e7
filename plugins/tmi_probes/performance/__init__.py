"""How well does a network do? Accuracy, margins, and images to look at."""
