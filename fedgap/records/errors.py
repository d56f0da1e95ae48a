"""What can be wrong with a record."""

from fedgap.errors import FedgapError


class BadRecordError(FedgapError):
    """A record is malformed, of an unknown kind, or about something that cannot be."""

    code = "records.bad-record"
    remedy = "Nothing was written. If a ledger holds it, its writer runs another version of fedgap or changed it."
