"""How good an attribution is: each measure scores maps against the truth, image by image."""
