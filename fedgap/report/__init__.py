"""The report of a run for people: the answer in a few sentences, and a page with every number behind it.

Nothing is computed here that is money or statistics: `report.json` is formatted as it is.
"""

from fedgap.report.answer import summary
from fedgap.report.document import page

__all__ = ["page", "summary"]
