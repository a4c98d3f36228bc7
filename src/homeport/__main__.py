"""Runs the command line as `python -m homeport`."""

from homeport.cli import main

if __name__ == "__main__":
    main()
