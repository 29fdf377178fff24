"""Where a conversion is stored: below its export, so that whatever ends the export takes it along."""

from __future__ import annotations

from uuid import UUID

from fieldpack.convert.conversion import ENDINGS
from fieldpack.server.exports.conversions.rows import ConvertedFile
from fieldpack.server.exports.keys import archive_name, build_prefix

__all__ = ["conversion_prefix", "converted_key", "file_name"]


def conversion_prefix(export_id: UUID, build: UUID, conversion_id: UUID) -> str:
    """What the keys of all attempts at a conversion begin with."""
    return f"{build_prefix(export_id, build)}converted/{conversion_id}/"


def converted_key(export_id: UUID, build: UUID, conversion_id: UUID, attempt: UUID) -> str:
    """Where the file is that one attempt made."""
    return f"{conversion_prefix(export_id, build, conversion_id)}{attempt}"


def file_name(file: ConvertedFile) -> str:
    """What it is called when it is saved: as the archive, but for the ending."""
    name = archive_name(file.collection_id, file.export_created_at)
    return name.removesuffix(".zip") + ENDINGS[file.format]
