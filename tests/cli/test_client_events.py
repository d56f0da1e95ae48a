"""What a running client says in words."""

from fedgap.cli.client_events import sentence


def test_a_large_message_says_how_far_it_has_come() -> None:
    up = {"event": "transfer", "way": "up", "bytes": 120_000_000, "total": 400_000_000}

    assert sentence(up) == "Sent 120 of 400 MB."
    assert sentence(up | {"way": "down", "bytes": 400_000_000}) == "Received 400 of 400 MB."


def test_nothing_that_a_server_names_moves_the_cursor() -> None:
    said = sentence({"event": "manifest", "version": 2, "members": ["Ash", "\x1b[2J\rApproved"]})

    assert said == "Roster version 2: Ash, \\x1b[2J\\rApproved."
