"""What each notebook does, one module a notebook, of the same name."""
