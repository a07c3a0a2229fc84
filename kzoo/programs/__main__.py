"""python -m kzoo <program> <flags> is kzoo <program> <flags>: see `kzoo.cli.console`."""

from kzoo import cli

if __name__ == "__main__":
    cli.console()
