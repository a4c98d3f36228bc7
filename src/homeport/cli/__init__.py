"""The command line: `homeport COMMAND`."""

import sys

from homeport.errors import HomeportError

EXIT_FAILED = 1
EXIT_USAGE = 2


def main() -> None:
    """Run the command line and exit with its code."""
    from homeport.cli.commands import build

    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except HomeportError as error:
        print(f"homeport: {error}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
