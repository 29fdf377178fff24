"""What is in an archive, at a glance: as an object, in a terminal, as a page."""

from fieldpack.report.gathering import summarize
from fieldpack.report.summary import Summary

__all__ = ["Summary", "summarize"]
