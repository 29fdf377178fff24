"""SQL of a line of responses.jsonl (docs/archive.md), whose two halves are written at two times.

The end, times and answers, is written when the response is submitted, again when an answer is corrected, and kept in
`submissions.line_end`. What comes before may change at any time, or has to be found to be erased: an export writes it.
"""

from __future__ import annotations

__all__ = ["write_correction", "write_line", "write_line_end"]

TIME = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def write_line(submission: str) -> str:
    """SQL of a submission's whole line, as UTF-8; `submission` is the alias of its table."""
    return f"""
        convert_to(concat('{{"submission_id":"', {submission}.id,
            '","participant_id":', to_json({submission}.participant_id),
            ',"study_id":"', {submission}.study_id,
            '","status":"', {submission}.status, '",', {submission}.line_end), 'UTF8')
    """


def write_line_end(
    started_at: str, completed_at: str, responses: str, *, edited_at: str = "", rest: str = "''"
) -> str:
    """SQL of what `line_end` holds, out of SQL of its times and of the JSON of `responses`.

    Args:
        edited_at: of a line that was corrected.
        rest: SQL of further fields, each after a comma.
    """
    edited = f"""'","edited_at":"', {TIME.format(edited_at)},""" if edited_at else ""
    return f"""
        concat('"started_at":"', {TIME.format(started_at)}, '","completed_at":"', {TIME.format(completed_at)},
            {edited} '","responses":', {responses}, {rest}, E'}}\\n')
    """


def write_correction(submission: str, correction: str, researcher: str) -> str:
    """SQL of a line of history.jsonl, as UTF-8; the arguments are aliases of tables."""
    return f"""
        convert_to(concat('{{"submission_id":"', {submission}.id,
            '","participant_id":', to_json({submission}.participant_id),
            ',"instruction_id":"', {correction}.instruction_id, '","version":', {correction}.version,
            ',"edited_at":"', {TIME.format(f"{correction}.created_at")},
            '","edited_by":{{"id":"', {researcher}.id, '","name":', to_json(coalesce(nullif(trim(
                concat({researcher}.first_name, ' ', {researcher}.last_name)), ''), {researcher}.email)),
            '}},"reason":', to_json({correction}.reason),
            ',"before":', coalesce({correction}.before::text, 'null'),
            ',"after":', coalesce({correction}.after::text, 'null'), E'}}\\n'), 'UTF8')
    """
