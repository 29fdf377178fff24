"""SQL of a line of responses.jsonl (docs/archive.md), whose two halves are written at two times.

The end, times and answers, never changes: it is written when the response is submitted, and kept in
`submissions.line_end`. What comes before may still change, or has to be found to be erased: an export writes it.
"""

from __future__ import annotations

__all__ = ["write_line", "write_line_end"]

TIME = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def write_line(submission: str) -> str:
    """SQL of a submission's whole line, as UTF-8; `submission` is the alias of its table."""
    return f"""
        convert_to(concat('{{"submission_id":"', {submission}.id,
            '","participant_id":', to_json({submission}.participant_id),
            ',"study_id":"', {submission}.study_id,
            '","status":"', {submission}.status, '",', {submission}.line_end), 'UTF8')
    """


def write_line_end(started_at: str, completed_at: str, responses: str) -> str:
    """SQL of what `line_end` holds, out of SQL of two times and of the JSON of `responses`."""
    return f"""
        concat('"started_at":"', {TIME.format(started_at)}, '","completed_at":"', {TIME.format(completed_at)},
            '","responses":', {responses}, E'}}\\n')
    """
