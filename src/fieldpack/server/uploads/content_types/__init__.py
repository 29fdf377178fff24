"""What uploaded content is: told by how it begins, and where several types begin alike, by a closer look."""

from fieldpack.server.uploads.content_types.judging import (
    ENOUGH_BYTES,
    HEAD_BYTES,
    Verdict,
    judge_content,
    judge_head,
)

__all__ = ["ENOUGH_BYTES", "HEAD_BYTES", "Verdict", "judge_content", "judge_head"]
