"""server.toml: which proxies may speak for others."""

from pathlib import Path

import pytest

from fedgap.config import ConfigError
from fedgap.config.operator import load_operator


def written(folder: Path, line: str) -> Path:
    """A server.toml with one more line."""
    path = folder / "server.toml"
    path.write_text(f'[server]\naddress = "https://fed.example.org"\n{line}\n')
    return path


def test_proxies_are_addresses_and_networks(tmp_path: Path) -> None:
    path = written(tmp_path, 'proxies = ["192.0.2.7", "10.0.0.0/8", "2001:db8::/64"]')

    assert load_operator(path).proxies == ("192.0.2.7", "10.0.0.0/8", "2001:db8::/64")
    assert load_operator(written(tmp_path, "")).proxies == ()


@pytest.mark.parametrize("name", ["0.0.0.0/0", "::/0", "proxy.example", "10.0.0.1/8", "*", ""])
def test_nobody_may_let_everybody_name_themselves(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="proxies"):
        load_operator(written(tmp_path, f'proxies = ["{name}"]'))


def test_nothing_is_served_in_the_clear_to_the_outside(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="host"):
        load_operator(written(tmp_path, 'certificate = "proxy"\nhost = "0.0.0.0"'))
