"""`python -m fedgap` is the `fedgap` command."""

from fedgap.cli import main

main()
