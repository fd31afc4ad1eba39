"""`python -m loadproof` is the `loadproof` command."""

from loadproof.cli import main

if __name__ == "__main__":
    main()
