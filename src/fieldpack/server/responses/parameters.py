"""The parameters of routes that take a view of responses."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from fieldpack.server.responses.service import DEFAULT_SORT

__all__ = ["Filters"]

Word = Annotated[str | None, Query()]


def _filters(
    state: Annotated[list[str] | None, Query(description="A status; several are any of them.")] = None,
    study: Annotated[list[str] | None, Query(description="A study's id; several are any of them.")] = None,
    submission: Annotated[
        list[str] | None, Query(description="A submission's id; several are any of them.")
    ] = None,
    participant: Word = None,
    since: Annotated[
        str | None, Query(description="Completed, or else started, at or after this day or time.")
    ] = None,
    before: Annotated[
        str | None, Query(description="The same before this time, or up to the end of this day.")
    ] = None,
    files: Annotated[str | None, Query(description="`yes` or `no`.")] = None,
    note: Annotated[str | None, Query(description="`yes` or `no`.")] = None,
    shorter: Annotated[str | None, Query(description="Took at most so long: `90s`, `10m`, `2h`.")] = None,
    longer: Annotated[str | None, Query(description="Took at least so long.")] = None,
    submitted: Annotated[
        str | None, Query(description="`yes` or `no`: whether its answers are in exports.")
    ] = None,
    tests: Annotated[str | None, Query(description="`yes` or `no`: of people who tried the study.")] = None,
    pending: Annotated[
        str | None, Query(description="`yes` or `no`: whether a decision is held on it.")
    ] = None,
    assigned: Annotated[
        str | None, Query(description="`me`, `nobody`, or the id of the reviewer it is assigned to.")
    ] = None,
    search: Annotated[
        str | None, Query(description="Words that the answers hold, as a search engine takes them.")
    ] = None,
    where: Annotated[
        list[str] | None,
        Query(
            description="`<question>:is:<option>`, `:contains:<text>`, `:between:<low>,<high>`, `:unit:<unit>`,"
            " `:type:<content type>`, `:answered` or `:missing`; all of several hold."
        ),
    ] = None,
    sort: Annotated[
        str,
        Query(description="`completed`, `started`, `duration`, `state`, `participant` or a question's id."),
    ] = DEFAULT_SORT,
) -> None:
    """The parameters that `service.read_view` reads, so that they are known and documented."""


Filters = Depends(_filters)
