"""What do layers hold? Superposition, linear decodability, dictionaries of directions, equivariance."""
