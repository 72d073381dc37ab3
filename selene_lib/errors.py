"""The one error a user can mend: the message names the thing and the remedy.

The command line prints it and exits 2.
"""


class UserError(ValueError):
    """Something the user gave (a path, a name, a parameter, a key) is missing or wrong."""
