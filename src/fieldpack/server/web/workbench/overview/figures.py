"""The numbers of an overview as texts: those that the page begins with, and those that it is told of later."""

from __future__ import annotations

from fieldpack.server.responses.overview.watching import Numbers
from fieldpack.server.web.catalogue import Catalogue
from fieldpack.server.web.workbench import views

__all__ = ["say_figures"]


def say_figures(numbers: Numbers, catalogue: Catalogue) -> dict[str, str]:
    """Each number by its name on the page; those that are not known yet are left out."""
    counts, gathered = numbers.counts, numbers.gathered
    found = {
        "started": str(counts.started),
        "under_way": str(counts.under_way),
        "submitted": str(counts.responses),
        "review": str(counts.review),
        "approved": str(counts.approved),
        "rejected": str(counts.rejected),
        "returned": str(counts.returned),
        "timed_out": str(counts.timed_out),
        "erased": str(counts.erased),
        "files": str(counts.files),
    }
    if gathered is None:
        return found
    spread = gathered.spread
    found["participants"] = str(spread.participants)
    found["size"] = catalogue.size(sum(kind.size_bytes for kind in gathered.files)) if gathered.files else ""
    if spread.median_seconds is not None:
        found["median"] = views.say_length(spread.median_seconds, catalogue)
        found["spread"] = catalogue.text(
            "overview.spread",
            low=views.say_length(spread.low_seconds, catalogue),
            high=views.say_length(spread.high_seconds, catalogue),
        )
    for id, question in gathered.questions.items():
        found[f"answered {id}"] = str(question.answered)
        found[f"missing {id}"] = str(question.missing)
        found[f"left {id}"] = str(gathered.left.get(id, 0))
    return found
