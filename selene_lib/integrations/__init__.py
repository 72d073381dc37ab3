"""Where other tools meet a judge: pytest, inspect_ai, the model hub. Importing it loads nothing."""
