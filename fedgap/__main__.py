"""The `fedgap` command, and `python -m fedgap`: loads the commands, which takes a moment, and runs one."""

import sys
from typing import NoReturn

INTERRUPTED = 3


def main() -> NoReturn:
    """Run the command; Ctrl-C while it loads ends with the status of an interrupted run, for nothing has begun."""
    try:
        from fedgap import cli  # noqa: PLC0415 - inside, so that Ctrl-C does not end in a traceback
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    cli.main()


if __name__ == "__main__":
    main()
