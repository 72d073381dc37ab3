"""`python -m selene_lib.cli` is `selene`."""

from selene_lib.cli import main

if __name__ == "__main__":
    main()
