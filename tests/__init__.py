"""Facts about personalab, one module of them for each of its own."""
