"""A browser's name for itself, shortened to two words, so that people recognise their own sessions."""

from __future__ import annotations

__all__ = ["name_agent"]

# in this order, because most browsers also contain the names of those further down
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("FxiOS", "Firefox"),
    ("Firefox", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrom", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def name_agent(agent: str) -> str:
    """Browser and system, such as `Firefox · Linux`; '' for what is neither."""
    found = [next((name for mark, name in names if mark in agent), None) for names in (_BROWSERS, _SYSTEMS)]
    return " · ".join(name for name in found if name is not None)
