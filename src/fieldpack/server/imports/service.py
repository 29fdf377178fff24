"""The rules of imports: an archive becomes one new collection of a workspace, seen by nobody until it is whole."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from fieldpack.archive.members import COLLECTION
from fieldpack.errors import FieldpackError, UsageError
from fieldpack.reading.reader import OpenArchive
from fieldpack.server.accounts import queries as account_queries
from fieldpack.server.accounts.permissions.queries import find_in_workspace
from fieldpack.server.accounts.permissions.roles import Action, Role, may
from fieldpack.server.audit.service import OPERATOR, write_entry
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.erasures.erasure_list import read_erased
from fieldpack.server.imports import queries
from fieldpack.server.imports.checking import Checked, Tell, check
from fieldpack.server.imports.copying import Job, copy, list_taken, naming
from fieldpack.server.imports.ids import choose_id, import_id, is_kept
from fieldpack.server.imports.instructions import Blueprint, draw, name_collection
from fieldpack.server.imports.lines import Taken
from fieldpack.server.imports.rows import ImportRow, RenamedRow, UnfinishedRow
from fieldpack.server.pictures import queries as picture_queries
from fieldpack.server.pictures.references import iter_urls
from fieldpack.server.studies.service import MINUTES_BY_DEFAULT
from fieldpack.server.submissions.lifecycle import erase
from fieldpack.server.values.urls import find_picture
from fieldpack.text import say_count

__all__ = ["Imported", "discard", "import_archive", "list_unfinished"]

STUDY_NAME = "Imported"
BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made, or would make.

    Attributes:
        import_id: under which an unfinished one can be discarded.
        was_there: the archive was imported before, into the same workspace; nothing was done.
        submissions, files, file_bytes: of the collection.
        erased: submissions of the archive that were erased here, and are left out.
        renamed: by kind, how many ids had to be made anew.
        notes: what is worth knowing, as sentences.
    """

    import_id: UUID
    collection_id: UUID
    workspace_id: UUID
    name: str
    study_ids: list[UUID]
    submissions: int
    files: int
    file_bytes: int
    erased: int
    was_there: bool = False
    renamed: Mapping[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a collection goes, and who is said to have made it."""

    workspace_id: UUID
    researcher_id: UUID


async def import_archive(
    context: Context,
    archive: OpenArchive,
    workspace_id: UUID | None,
    email: str | None,
    tell: Tell,
    *,
    dry_run: bool = False,
) -> Imported:
    """Make a collection of an archive, or go on with what an earlier run has begun.

    Args:
        workspace_id: where to; the only workspace there is, where None.
        email: whose collection it is; the workspace's first owner's, where None.
        dry_run: only look at the archive, and say what would be made.

    Raises:
        UsageError: there is no such workspace or researcher.
        ArchiveError: something can't be imported as it is. Nothing of it can be seen; what was taken over stays for
            another run, with a better copy of the archive.
        FieldpackError: another import is running.
    """
    async with context.database.transaction() as connection:
        place = await _find_place(connection, workspace_id, email)
    look = _LookUp(context, await read_erased(context)) if dry_run else None
    try:
        checked = await asyncio.to_thread(check, archive, tell, look.count if look else None)
    finally:
        if look is not None:
            look.close()
    identifier = import_id(place.workspace_id, checked.digest)
    async with context.database.transaction() as connection:
        row = await queries.find_import(connection, identifier)
        if row is not None and row.completed_at is not None:
            if not await queries.has_collection(connection, row.collection_id):
                raise FieldpackError(
                    f"This archive was imported into this workspace as collection {row.collection_id}, which was "
                    "deleted since. It is not imported there again: those who were erased from it would come back."
                )
            return await _describe_done(connection, row, checked, was_there=True)
        plan = await _Plan.make(connection, place, identifier, checked, row)
        if look is not None and row is not None:
            await look.leave_out(connection, row)
    if look is not None:
        return plan.describe(look)
    _require_room(context, archive, checked.file_bytes - (row.file_bytes if row else 0))
    with closing(context.database.connect()) as guard:
        if not await asyncio.to_thread(queries.lock_imports, guard):
            raise FieldpackError("Another import is running here: wait for it, then run this one again.")
        async with context.database.transaction() as connection:
            row = await queries.find_import(connection, identifier)
            if row is None:
                with naming(COLLECTION, COLLECTION):
                    row = await plan.begin(connection)
            await queries.throw_away_left(connection, row.id)
        scratch = context.storage.scratch / f"import-{identifier}"
        job = plan.make_job(archive, row, await read_erased(context))
        await asyncio.to_thread(_copy, context, job, scratch, tell)
        await _erase_again(context, identifier)
        async with context.database.transaction() as connection:
            return await _complete(connection, identifier, checked)


def _copy(context: Context, job: Job, scratch: Path, tell: Tell) -> None:
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir(mode=0o700)
    try:
        copy(job, context.storage, scratch, context.database.connect, tell)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _LookUp:
    """Counts the submissions whose ids are not free here, and the files of those that were erased; for a dry run."""

    def __init__(self, context: Context, erased: Set[bytes]) -> None:
        self._erased = erased
        self._connection = context.database.connect()
        self.taken = 0
        self.foreign = 0
        self.erased = 0
        self.erased_files = 0
        self.erased_bytes = 0

    def count(self, read: list[Taken]) -> None:
        """Look some of them up."""
        ours = {UUID(each.submission_id): each for each in read if is_kept(each.submission_id)}
        here = list_taken(self._connection, read, UUID(int=0), self._erased)
        self.foreign += len(read) - len(ours)
        for key, is_erased in here.items():
            if is_erased:
                self.erased += 1
                self.erased_files += len(ours[key].files)
                self.erased_bytes += sum(file.member.size_bytes for file in ours[key].files)
            else:
                self.taken += 1

    async def leave_out(self, connection: Connection, row: ImportRow) -> None:
        """Count those that an unfinished run of the same import has made under their own ids as free."""
        renamed = await queries.count_renamed(connection, row.id)
        counted = await queries.count_rows(connection, row.id)
        since = await _list_erased_since(connection, row.id, self._erased)
        kept = sum(1 for submission_id in since if submission_id.bytes in self._erased)
        self.taken -= counted.submissions - kept - renamed.get("submission", 0)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


async def _find_place(connection: Connection, workspace_id: UUID | None, email: str | None) -> _Place:
    if workspace_id is None:
        workspaces, count = await account_queries.list_workspaces(connection, None, 1, 0)
        if count != 1:
            raise UsageError(
                "Say which workspace the collection goes into: --workspace ID; `fieldpack workspace list` shows them."
                if count
                else "There is no workspace yet: start `fieldpack serve` once, or `fieldpack workspace create`."
            )
        workspace_id = workspaces[0].id
    elif await account_queries.find_workspace(connection, workspace_id) is None:
        raise UsageError(f"There is no workspace {workspace_id}; `fieldpack workspace list` shows them.")
    if email is None:
        researcher = await account_queries.find_first_researcher(connection, workspace_id)
        if researcher is None:
            raise UsageError("The workspace has no member: name a researcher with --researcher EMAIL.")
        return _Place(workspace_id, researcher)
    researcher = await account_queries.find_researcher_by_email(connection, email)
    if researcher is None:
        raise UsageError(
            f"There is no researcher {email}; `fieldpack workspace members list {workspace_id}` shows who is there."
        )
    standing = await find_in_workspace(connection, workspace_id, researcher)
    role = Role(standing.role) if standing and standing.role else None
    if not may(role, Action.COLLECTION_WRITE):
        raise UsageError(
            f"{email} is no editor or owner of workspace {workspace_id}, so can't own a collection there."
        )
    return _Place(workspace_id, researcher)


def _require_room(context: Context, archive: OpenArchive, needed_bytes: int) -> None:
    folder = context.settings.storage_folder
    if folder is not None and (lack := archive.limits.explain_lack(folder, max(0, needed_bytes))):
        raise FieldpackError(f"Not imported: {lack}.")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is called what, and what is to be made."""

    place: _Place
    import_id: UUID
    checked: Checked
    collection_id: UUID
    instructions: Mapping[str, UUID]
    studies: Mapping[str, UUID]
    blueprint: Blueprint
    pictures: list[UUID]

    @classmethod
    async def make(
        cls,
        connection: Connection,
        place: _Place,
        identifier: UUID,
        checked: Checked,
        row: ImportRow | None,
    ) -> _Plan:
        """Choose ids, those of an earlier run where there was one, and draw the collection."""
        renamed = await queries.list_known(connection, identifier)
        known = {(each.kind, each.old_id): each.new_id for each in renamed}

        async def choose(kind: str, old_ids: list[str]) -> dict[str, UUID]:
            kept = [UUID(old) for old in old_ids if is_kept(old)]
            taken = set() if row is not None else await queries.list_taken(connection, kind, kept)
            return {
                old: known[kind, old]
                if (kind, old) in known
                else choose_id(identifier, kind, old, is_taken=is_kept(old) and UUID(old) in taken)
                for old in old_ids
            }

        collections = await choose("collection", [checked.collection.id])
        instructions = await choose("instruction", list(checked.instructions))
        studies = await choose("study", list(checked.studies))
        blueprint = draw(
            checked.collection,
            checked.instructions,
            instructions,
            identifier,
            place.researcher_id,
            checked.chosen,
            checked.made_at,
        )
        shown = {name for _, url in iter_urls(blueprint.versions[-1].body) if (name := find_picture(url))}
        return cls(
            place,
            identifier,
            checked,
            collections[checked.collection.id],
            instructions,
            studies,
            blueprint,
            sorted(UUID(name) for name in shown),
        )

    def list_renamed(self) -> list[RenamedRow]:
        """Ids that are made anew, but for those of submissions."""
        pairs = [
            ("collection", self.checked.collection.id, self.collection_id),
            *(("instruction", old, new) for old, new in self.instructions.items()),
            *(("study", old, new) for old, new in self.studies.items()),
        ]
        return [RenamedRow(kind, old, new) for kind, old, new in pairs if str(new) != old]

    def make_job(self, archive: OpenArchive, row: ImportRow, erased: Set[bytes]) -> Job:
        """What is to be taken over, as `copying` takes it."""
        return Job(archive, self.checked, row, self.blueprint, self.instructions, self.studies, erased)

    async def begin(self, connection: Connection) -> ImportRow:
        """Make the collection, its versions and studies, hidden; without a submission yet."""
        by = self.place.researcher_id
        created_at = self.blueprint.versions[0].made_at
        await queries.begin(
            connection,
            import_id=self.import_id,
            workspace_id=self.place.workspace_id,
            collection_id=self.collection_id,
            source_id=self.checked.collection.id,
            name=self.blueprint.name,
            description=self.blueprint.description,
            by=by,
            created_at=created_at,
        )
        await queries.insert_versions(connection, self.collection_id, self.blueprint.versions)
        await queries.insert_items(
            connection, self.collection_id, by, created_at, self.blueprint.pages, self.blueprint.items
        )
        usable = await picture_queries.lock_usable(connection, self.pictures, by, self.collection_id)
        for version in range(1, len(self.blueprint.versions) + 1):
            await picture_queries.insert_uses(connection, self.collection_id, version, sorted(usable))
        for old, facts in self.checked.studies.items():
            await queries.insert_study(
                connection,
                study_id=self.studies[old],
                workspace_id=self.import_id,
                collection_id=self.collection_id,
                by=by,
                name=f"{STUDY_NAME}: {self.blueprint.name}"[:200],
                places=facts.submissions,
                minutes=MINUTES_BY_DEFAULT,
                upload_bytes=facts.upload_bytes,
                began_at=facts.began_at,
            )
        await queries.insert_renamed(connection, self.import_id, self.list_renamed())
        row = await queries.find_import(connection, self.import_id)
        assert row is not None
        return row

    def describe(self, look: _LookUp) -> Imported:
        """What would be made."""
        checked = self.checked
        renamed = _count_kinds(self.list_renamed())
        if look.foreign + look.taken:
            renamed["submission"] = look.foreign + look.taken
        return Imported(
            import_id=self.import_id,
            collection_id=self.collection_id,
            workspace_id=self.place.workspace_id,
            name=self.blueprint.name,
            study_ids=list(self.studies.values()),
            submissions=checked.submissions - look.erased,
            files=checked.files - look.erased_files,
            file_bytes=checked.file_bytes - look.erased_bytes,
            erased=look.erased,
            renamed=renamed,
            notes=[*checked.notes, *_note_pictures(self.pictures)],
        )


def _note_pictures(pictures: list[UUID]) -> list[str]:
    if not pictures:
        return []
    return [
        f"The text of the task shows {say_count(len(pictures), 'picture')} of the server that it comes from, which no "
        "archive holds: where they are missing, upload them and update the collection."
    ]


def _count_kinds(renamed: list[RenamedRow]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in renamed:
        found[each.kind] = found.get(each.kind, 0) + 1
    return found


async def _erase_again(context: Context, identifier: UUID) -> None:
    """Who was erased here since they were taken over, by this run or one before, goes before anybody sees them."""
    erased = await read_erased(context)
    async with context.database.transaction() as connection:
        since = await _list_erased_since(connection, identifier, erased)
    for submission_id in since:
        async with context.database.transaction() as connection:
            await erase(connection, None, submission_id)


async def _list_erased_since(connection: Connection, identifier: UUID, erased: Set[bytes]) -> list[UUID]:
    """What an import has made of those who were erased here, by their ids here."""
    ids = [UUID(bytes=each) for each in erased]
    found: list[UUID] = []
    for start in range(0, len(ids), BATCH):
        found += await queries.list_alive(connection, identifier, ids[start : start + BATCH])
    return found


async def _complete(connection: Connection, identifier: UUID, checked: Checked) -> Imported:
    """Have an import be seen, once everything of it is there."""
    row = await queries.find_import(connection, identifier, lock=True)
    if row is None:
        raise FieldpackError("This import was discarded while it ran.")
    if row.completed_at is None:
        counted = await queries.count_rows(connection, identifier)
        wanted = (
            checked.submissions - row.erased - counted.erased,
            row.files - counted.erased_files,
        )
        if (counted.submissions, counted.files) != wanted or counted.uploads != counted.files:
            raise FieldpackError(
                f"The import is not whole: of {say_count(wanted[0], 'submission')} and {say_count(wanted[1], 'file')}, "
                f"{counted.submissions:,} and {counted.uploads:,} are here. Nothing of it is shown; "
                f"`fieldpack import --discard {identifier}` removes it."
            )
        await queries.leave_out(connection, row, counted)
        await queries.settle_studies(connection, row.collection_id)
        await queries.show(connection, row)
        await write_entry(
            connection,
            OPERATOR,
            "collection.import",
            collection_id=row.collection_id,
            count=counted.submissions,
        )
        row = await queries.find_import(connection, identifier)
        assert row is not None, "it is locked"
    return await _describe_done(connection, row, checked, was_there=False)


async def _describe_done(
    connection: Connection, row: ImportRow, checked: Checked, *, was_there: bool
) -> Imported:
    return Imported(
        import_id=row.id,
        collection_id=row.collection_id,
        workspace_id=row.workspace_id,
        name=name_collection(checked.collection),
        study_ids=await queries.list_studies(connection, row.collection_id),
        submissions=row.submissions,
        files=row.files,
        file_bytes=row.file_bytes,
        erased=row.erased,
        was_there=was_there,
        renamed=await queries.count_renamed(connection, row.id),
        notes=checked.notes,
    )


async def list_unfinished(context: Context) -> list[UnfinishedRow]:
    """Imports that have not come to their end."""
    async with context.database.transaction() as connection:
        return await queries.list_unfinished(connection)


async def discard(connection: Connection, identifier: UUID) -> ImportRow:
    """Remove all that an unfinished import has made.

    Raises:
        FieldpackError: there is none, or it is running.
    """
    row = await queries.find_import(connection, identifier, lock=True)
    if row is None or row.completed_at is not None:
        raise FieldpackError(
            f"There is no unfinished import {identifier}; `fieldpack import --list` shows them."
        )
    if not await queries.is_idle(connection):
        raise FieldpackError("An import is running: wait for it, or stop it, then discard it.")
    await queries.delete_import(connection, row)
    return row
