"""The published numbers and how each is known."""
