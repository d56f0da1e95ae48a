"""Every error of the tree has a code of its own, a remedy and an exit status; its line is one line."""

import importlib
import pickle
import pkgutil
import re

import pytest

import fedgap
from fedgap.errors import FedgapError, InterruptedRunError, MissingExtraError, UsageError


def every_error() -> list[type[FedgapError]]:
    """All subclasses, after every module was imported."""
    for module in pkgutil.walk_packages(fedgap.__path__, "fedgap."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(error: type[FedgapError]) -> list[type[FedgapError]]:
        return [error, *(deeper for child in error.__subclasses__() for deeper in below(child))]

    return [error for error in below(FedgapError) if error.__module__.startswith("fedgap")]


def test_codes_are_dotted_lower_case_and_exit_statuses_are_known() -> None:
    errors = every_error()

    assert len(errors) > 20
    for error in errors:
        assert re.fullmatch(r"[a-z]+(\.[a-z0-9]+(-[a-z0-9]+)*)+", error.code), error
        assert error.exit_status in {1, 2, 3}, error
        assert error.__doc__, error


def test_no_two_errors_share_a_code_unless_one_is_the_other() -> None:
    seen: dict[str, type[FedgapError]] = {}
    for error in every_error():
        other = seen.setdefault(error.code, error)
        assert issubclass(error, other), (error, other)


def test_a_line_has_code_cause_and_remedy() -> None:
    assert UsageError("It is wrong.").line() == "usage.wrong: It is wrong. See --help."
    assert UsageError("It is wrong.", remedy="Do this.").line() == "usage.wrong: It is wrong. Do this."
    assert UsageError.remedy == "See --help."


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError(extra="torch", needed_for="fedgap simulate")

    assert (error.code, error.exit_status) == ("install.missing-extra", 2)
    assert "fedgap[torch]" in error.remedy


def test_an_interruption_can_be_told_from_a_failure() -> None:
    assert InterruptedRunError("Interrupted.").exit_status == 3


def test_errors_can_be_raised_as_exceptions() -> None:
    with pytest.raises(FedgapError, match="cause"):
        raise UsageError("cause")


@pytest.mark.parametrize(
    "error",
    [
        FedgapError("a cause"),
        UsageError("a cause", remedy="a remedy"),
        MissingExtraError(extra="torch", needed_for="this model"),
    ],
)
def test_an_error_comes_out_of_a_worker_as_it_was(error: FedgapError) -> None:
    """Also one whose constructor does not take the message."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here

    assert (type(again), again.line(), again.args) == (type(error), error.line(), error.args)
