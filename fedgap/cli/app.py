"""The command tree. Every command parses, calls one function, and shows the result."""

import typer

app = typer.Typer(
    name="fedgap",
    help="Federated learning for organisations that each have too little data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
