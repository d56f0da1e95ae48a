"""The desk of a deployed server: the protocol's, and a stopwatch for what it adds to the exchanges of a round."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from fedgap.flower.stopwatch import Stopwatch
from fedgap.secagg.desk import Desk
from fedgap.secagg.dossier import Dossier
from fedgap.secagg.messages import Outcome


class TimedDesk(Desk):
    """A desk that counts its time.

    Args:
        watch: counts.
        *args, **settings: as `Desk`.
    """

    def __init__(self, watch: Stopwatch, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - the parent's
        super().__init__(*args, **settings)
        self._watch = watch
        show = self.checkpoint

        def checkpoint() -> bytes:
            with watch.measures("exchanges"):
                return show()

        self.checkpoint = checkpoint

    def file(self, dossier: Dossier) -> None:
        """Keep what settlement needs of an opened round."""
        with self._watch.measures("exchanges"):
            super().file(dossier)

    def offers(self, previous: Outcome | None) -> tuple[bytes, ...]:
        """Every direction that is not certified yet, in order."""
        with self._watch.measures("exchanges"):
            return super().offers(previous)

    def joined(self, replies: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Keep what members signed, and pass the keys on; time in which members are waited for is not counted."""
        waited = [0.0, 0.0]

        def heard() -> Iterator[tuple[int, bytes]]:
            source = iter(replies)
            while True:
                wall, cpu = time.monotonic(), time.thread_time()
                reply = next(source, None)
                waited[0] += time.monotonic() - wall
                waited[1] += time.thread_time() - cpu
                if reply is None:
                    return
                yield reply

        work = super().joined(heard())
        while True:
            waited[:] = 0.0, 0.0
            wall, cpu = time.monotonic(), time.thread_time()
            key = next(work, None)
            self._watch.count(
                "exchanges",
                wall_s=time.monotonic() - wall - waited[0],
                cpu_s=time.thread_time() - cpu - waited[1],
            )
            if key is None:
                return
            yield key
