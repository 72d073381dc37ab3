"""An open, complete reproduction of Atla Selene Mini (arXiv 2501.17195): a small language model
that judges other models' answers.

Importing this package loads nothing heavy; each module loads what it needs when it is used.
"""

from importlib import metadata

try:
    __version__ = metadata.version("selene_lib")
except metadata.PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
