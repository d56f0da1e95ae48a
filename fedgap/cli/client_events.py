"""What a running client says, in words; what happens all the time and is no news has none."""

from collections.abc import Mapping
from typing import Any

from fedgap.config.section import printable

DONE = {"invite": "takes part", "relay": "trained and uploaded", "certificate": "done"}


def sentence(event: Mapping[str, Any]) -> str:
    """Put one event of the working process into a sentence that moves no cursor; empty for what need not be read."""
    return printable(_words(event))


def _words(event: Mapping[str, Any]) -> str:  # noqa: C901, PLR0911, PLR0912 - one line for each kind
    match event:
        case {"event": "connected"}:
            return "Connected; waiting for work."
        case {"event": "manifest", "version": version, "members": members}:
            return f"Roster version {version}: {', '.join(members)}."
        case {"event": "answered", "status": "ok", "purpose": str(purpose), "round": number} if purpose in DONE:
            size = f", {event['bytes']:,} bytes" if purpose == "relay" else ""
            return f"Round {number}: {DONE[purpose]} ({event['seconds']:.2f} s{size})."
        case {"event": "answered", "status": "ok", "purpose": "statistics", "bytes": size}:
            return f"Sent the statistics of the training rows ({size:,} bytes)."
        case {"event": "answered", "status": "ok", "purpose": "sums", "round": number}:
            return f"Caught up with a sum before round {number}."
        case {"event": "transfer", "way": way, "bytes": size, "total": total}:
            return f"{'Sent' if way == 'up' else 'Received'} {size / 1e6:.0f} of {total / 1e6:.0f} MB."
        case {"event": "settled", "period": period, "confirmed": True}:
            return f"Period {period} is settled: our own number and the total are right, and we confirmed them."
        case {"event": "settled", "period": period, "code": code}:
            return f"Period {period}: we objected to the server's statement ({code}). Speak with the operator."
        case {"event": "refused" | "failed" | "gone" | "unmetered", "cause": cause, "remedy": remedy}:
            return f"Refused: {cause} {remedy}" if event["event"] == "refused" else f"{cause} {remedy}"
        case {"event": "waiting", "cause": cause, "remedy": remedy}:
            again = f" Trying again in {event['seconds']:.0f} s." if "seconds" in event else ""
            return f"{cause} {remedy}{again}"
        case {"event": "restarting", "seconds": seconds}:
            return f"The working process ended; starting it again in {seconds:.0f} s."
        case {"event": "done", "model": model, "rounds": rounds}:
            return f"All {rounds} rounds are done; the model is {model}."
        case {"event": "ended"}:
            return "The federation has ended: all rounds are done and settled, and nothing more is asked of this site."
    return ""
