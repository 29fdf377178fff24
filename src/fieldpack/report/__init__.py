"""What is in an archive, at a glance: as an object, in a terminal, as a page."""

from fieldpack.report.summary import Summary, summarize

__all__ = ["Summary", "summarize"]
