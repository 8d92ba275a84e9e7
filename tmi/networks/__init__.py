"""Networks: a torch module with named layers, and what is known about its neurons."""
