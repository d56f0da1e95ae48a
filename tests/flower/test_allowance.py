"""What a node may still send: what it was asked, and not endlessly."""

from fedgap.flower.allowance import SLACK_BYTES, Allowance

MIB = 1 << 20


def test_a_node_may_send_what_it_was_asked_and_a_little_more() -> None:
    allowance = Allowance()
    allowance.grant("m", 7, 8 * MIB)

    assert allowance.may_answer(7, "m", objects=10, size_bytes=1000)
    assert all(allowance.takes(7, MIB) for _ in range(8))
    assert not allowance.takes(7, 2 * MIB + SLACK_BYTES)


def test_nobody_may_send_what_was_asked_of_another_or_of_nobody() -> None:
    allowance = Allowance()
    allowance.grant("m", 7, MIB)

    assert not allowance.may_answer(8, "m", objects=1, size_bytes=10)
    assert not allowance.may_answer(7, "other", objects=1, size_bytes=10)
    assert not allowance.takes(8, 1)


def test_an_answer_of_endlessly_many_objects_is_not_announced() -> None:
    allowance = Allowance()
    allowance.grant("m", 7, MIB)

    assert not allowance.may_answer(7, "m", objects=1000, size_bytes=10)


def test_nothing_is_taken_once_nobody_waits() -> None:
    allowance = Allowance()
    allowance.grant("m", 7, MIB)
    allowance.end("m")

    assert not allowance.takes(7, 1)
    assert not allowance.may_answer(7, "m", objects=1, size_bytes=1)


def test_it_is_told_how_much_of_an_answer_has_come() -> None:
    allowance = Allowance()
    allowance.grant("m", 7, 8 * MIB)
    allowance.takes(7, 5 * MIB)

    assert allowance.arrived_bytes("m") == 5 * MIB
    assert allowance.arrived_bytes("other") == 0
