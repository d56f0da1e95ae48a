"""How many must be there: the numbers of PROTOCOL section 1, from n and f alone.

    n      organisations in the roster          f      of them may side with the server
    tau    signatures that certify something    t      shares that open a secret
    u_min  organisations in any opened sum

Two sets of tau members share an honest one because 2 tau > n + f; nobody gets both shares of one organisation because
2 t > n + f. In docs/protocol.md the argument is written out.
"""

from dataclasses import dataclass
from typing import Self

from fedgap.secagg.errors import BadManifestError

MIN_MEMBERS = 3
MAX_MEMBERS = 2**14
"""So many encoded norms of 2**14 stay below 2**28 in a ring of 2**32. Beyond about a hundred members only sums without
masks are practical (`--protocol sum`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """Numbers that satisfy the protocol's inequalities; others cannot be built.

    Raises:
        BadManifestError: they do not.
    """

    n: int
    f: int
    tau: int
    t: int
    u_min: int

    def __post_init__(self) -> None:
        if self.n < MIN_MEMBERS:
            raise BadManifestError(
                f"{self.n} organisations are too few: with two, each reads the other's update off the sum.",
                remedy="Find a third organisation, or use `--protocol sum` in a simulation.",
            )
        if self.n > MAX_MEMBERS:
            raise BadManifestError(f"{self.n} organisations are more than {MAX_MEMBERS}.")
        if self.f < 0 or self.t != self.tau or 2 * self.tau <= self.n + self.f:
            raise BadManifestError(
                f"A quorum of {self.tau} (t = {self.t}) does not protect {self.n} organisations from {self.f}"
                " colluders: twice the quorum must exceed their sum."
            )
        if not max(self.tau, self.f + 2, MIN_MEMBERS) <= self.u_min <= self.n:
            raise BadManifestError(
                f"A sum over {self.u_min} of {self.n} organisations is not allowed: at least"
                f" {max(self.tau, self.f + 2, MIN_MEMBERS)} must be in it."
            )

    @classmethod
    def of(cls, n: int, *, f: int | None = None, tau: int | None = None) -> Self:
        """Take the protocol's default for n organisations; `f` and `tau` may be given instead.

        n = 3: f = 0, tau = 3. n = 4: f = 1, tau = 3. n = 10: f = 3, tau = 7. n = 100: f = 33, tau = 67.
        """
        f = (n - 1) // 3 if f is None else f
        tau = max(2 * n // 3 + 1, (n + f) // 2 + 1) if tau is None else tau
        return cls(n=n, f=f, tau=tau, t=tau, u_min=max(tau, f + 2, MIN_MEMBERS))

    @property
    def weaker(self) -> bool:
        """Whether these numbers forgive more silence, or assume fewer colluders, than the default."""
        usual = Quorum.of(self.n)
        return self.f < usual.f or self.tau < usual.tau
