"""Where optional parts are not installed, a command says which, all at once."""

from pathlib import Path

import pytest

from tests.cli.command import Run

LOOKS = ("importlib.util.find_spec", "fedgap.cli.server.find_spec", "fedgap.cli.bench.find_spec")
"""Where commands look for what is installed."""


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("server", "init", "srv"), "torch,flower"),
        (("client", "join", "fedgap1.x"), "torch,flower"),
        (("client", "status"), "torch,flower"),
        (("bench", "ledger"), "all"),
    ],
)
def test_one_line_installs_all_that_is_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...], extra: str
) -> None:
    for look in LOOKS:
        monkeypatch.setattr(look, lambda _name: None)
    ended = run(*command)

    assert ended.status == 2
    assert ended.err.strip().endswith(f"Install it: pip install 'fedgap[{extra}]'.")
    assert list(tmp_path.iterdir()) == []
