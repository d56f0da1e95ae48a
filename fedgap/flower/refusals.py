"""Why a site does not answer: what the server is told by code, and people at the site in words."""

from fedgap.errors import FedgapError


class OtherPlanError(FedgapError):
    """The server asks about another plan than the one this organisation approved."""

    code = "client.other-plan"
    remedy = "Ask the operator what was changed; to see and approve the new plan run `fedgap client join` again."


class NoManifestError(FedgapError):
    """A round is asked for before this site goes along with a manifest."""

    code = "client.no-manifest"
    remedy = "The client looks for a manifest by itself; if one waits for you, it says so."


class TrainingFailedError(FedgapError):
    """The task failed in a way nobody foresaw; nothing was sent."""

    code = "client.task-failed"
    remedy = "The log of this site has the details; they did not leave it."


class OutOfMemoryError(FedgapError):
    """The work needed more memory than there is, or than site.toml allows."""

    code = "client.memory"
    remedy = "Raise [limits] memory_gib in site.toml, or leave the federation."


def as_ours(error: Exception) -> FedgapError:
    """Find the code for an error nobody foresaw; torch says with a RuntimeError that memory is short."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in str(error)):
        return OutOfMemoryError("There was not enough memory.")
    return TrainingFailedError(f"{type(error).__name__}.")
