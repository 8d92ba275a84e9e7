"""How objects show themselves: small HTML in a notebook, and plots on matplotlib axes."""
