"""One sentence in, a population out."""
