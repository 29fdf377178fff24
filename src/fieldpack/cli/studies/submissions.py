"""`fieldpack submission`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fieldpack.cli.completion import complete_study
from fieldpack.cli.inputs import read_ids
from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import cut, list_command
from fieldpack.cli.options import AsJson, Limit, Offset
from fieldpack.cli.output import print_one
from fieldpack.cli.studies import corrections, erasing, reviewing
from fieldpack.errors import UsageError

__all__ = ["register"]

_COLUMNS = ("id", "participant_id", "status", "started_at", "completed_at", "time_taken", "study_code")
_ACTIONS = ("APPROVE", "REJECT", "COMPLETE", "UNREJECT", "RETURN", "UNRETURN", "SCREEN_OUT", "START")
_EXAMPLES = """\b
Examples:
  fieldpack submission list -s STUDY_ID --status "AWAITING REVIEW" --csv > waiting.csv
  fieldpack submission approve SUBMISSION_ID
  fieldpack submission reject SUBMISSION_ID -m "The photo shows another product." -R FAILED_INSTRUCTIONS
  fieldpack submission bulk-approve -f ids.txt
  fieldpack submission decide-all COLLECTION_ID -a APPROVE --filter "files=yes"
  fieldpack submission undo DECISION_ID
  fieldpack submission erase SUBMISSION_ID
  fieldpack submission bulk-erase -c COLLECTION_ID -f participants.txt
"""

app = make_app(help="List, review, correct and erase submissions.", epilog=_EXAMPLES)

SubmissionId = Annotated[str, typer.Argument(metavar="SUBMISSION_ID", help="Id of the submission.")]
Message = Annotated[str | None, typer.Option("-m", "--message", help="What the participant is told.")]
Category = Annotated[
    str | None, typer.Option("-R", "--rejection-category", help="Why it is rejected, such as LOW_EFFORT.")
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    corrections.register(app)
    reviewing.register(app)
    root.add_typer(app, name="submission")


@list_command(app, "list", _COLUMNS, empty="There is no such submission.")
def list_submissions(
    study: Annotated[str, typer.Option("-s", "--study", help="The study.", autocompletion=complete_study)],
    status: Annotated[
        str | None, typer.Option(help='Only those in this status, such as "AWAITING REVIEW".')
    ] = None,
    ordering: Annotated[str | None, typer.Option(help="Field to sort by, such as -completed_at.")] = None,
    limit: Limit = None,
    offset: Offset = 0,
) -> list[dict[str, Any]]:
    """List the submissions of a study."""
    from fieldpack.client import Client

    with Client() as client:
        return cut(client.list_submissions(study, status=status, ordering=ordering), limit, offset)


@app.command("get")
def get_submission(submission_id: SubmissionId, json: AsJson = False) -> None:
    """Show a submission."""
    from fieldpack.client import Client

    with Client() as client:
        print_one(client.get_submission(submission_id), ("study_id", *_COLUMNS), json=json)


@app.command("history")
def show_history(submission_id: SubmissionId, json: AsJson = False) -> None:
    """Show what happened to a submission, and which exports hold it; owners see who did or saw what."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    with Client() as client:
        history = client.get_history(submission_id)
    if json:
        print_json(history)
        return
    for change in history["changes"]:
        print_text(
            f"{change['at']}  {change['status']} ({change['response']}{', test' if change['test'] else ''}"
            f"{', corrected' if change.get('type') == 'submission.corrected' else ''})"
        )
    for entry in reversed(history.get("audit") or []):
        print_text(f"{entry['at']}  {entry['action']}  {entry['actor']['email'] or entry['actor']['type']}")
    for export in history.get("exports") or []:
        print_text(f"{export['created_at']}  in export {export['export_id']} ({export['status']})")


@app.command("transition")
def transition_submission(
    submission_id: SubmissionId,
    action: Annotated[str, typer.Option("-a", "--action", help=f"One of {', '.join(_ACTIONS)}.")],
    message: Message = None,
    category: Category = None,
    completion_code: Annotated[str | None, typer.Option(help="A researcher's code, for COMPLETE.")] = None,
    percentage: Annotated[
        float | None,
        typer.Option(
            "--percentage-of-reward", min=0, max=100, help="Kept with the decision; fieldpack pays nobody."
        ),
    ] = None,
    told: Annotated[
        str | None, typer.Option("--message-to-participant", help="Kept with the decision, for COMPLETE.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Decide on a submission, or undo a decision."""
    given = {"percentage_of_reward": percentage, "message_to_participant": told}
    data = {name: value for name, value in given.items() if value is not None}
    _transition(submission_id, action, message, category, completion_code, data, json=json)


def _transition(
    submission_id: str,
    action: str,
    message: str | None = None,
    category: str | None = None,
    completion_code: str | None = None,
    completion_code_data: dict[str, Any] | None = None,
    *,
    json: bool,
) -> None:
    from fieldpack.client import Client

    wanted = action.upper()
    if wanted not in _ACTIONS:
        raise UsageError(f"--action must be one of {', '.join(_ACTIONS)}.")
    with Client() as client:
        changed = client.transition_submission(
            submission_id,
            wanted,  # type: ignore[arg-type]  # one of _ACTIONS
            message=message,
            rejection_category=category,
            completion_code=completion_code,
            completion_code_data=completion_code_data or None,
        )
    print_one(changed, ("id", "participant", "status", "study_id"), json=json)


@app.command("approve")
def approve_submission(submission_id: SubmissionId, json: AsJson = False) -> None:
    """Approve a submission."""
    _transition(submission_id, "APPROVE", json=json)


@app.command("reject")
def reject_submission(
    submission_id: SubmissionId, message: Message = None, category: Category = None, json: AsJson = False
) -> None:
    """Reject a submission; the participant is told why."""
    if not message or not category:
        raise UsageError("A rejection needs -m MESSAGE and -R CATEGORY: the participant is told why.")
    _transition(submission_id, "REJECT", message, category, json=json)


@app.command("request-return")
def request_return(
    submission_id: SubmissionId,
    reasons: Annotated[list[str], typer.Option("-r", "--reason", help="Why; may be given several times.")],
    json: AsJson = False,
) -> None:
    """Ask a participant to return a submission."""
    from fieldpack.client import Client

    with Client() as client:
        print_one(client.request_return(submission_id, reasons), ("id", "participant", "status"), json=json)


@app.command("bulk-approve")
def bulk_approve(
    submission_ids: Annotated[
        list[str] | None, typer.Option("-i", "--submission-id", help="Id; may be given several times.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option("-s", "--study", help="The study of the participants.", autocompletion=complete_study),
    ] = None,
    participant_ids: Annotated[
        list[str] | None, typer.Option("-p", "--participant-id", help="Id; may be given several times.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "-f",
            "--file",
            help="File with an id on each line: participants with --study, else submissions.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Approve many submissions: all of them, or none."""
    from fieldpack.client import Client

    listed = read_ids(file) if file else []
    submissions = [*(submission_ids or []), *([] if study else listed)]
    participants = [*(participant_ids or []), *(listed if study else [])]
    if bool(submissions) == bool(participants):
        raise UsageError("Name submissions by -i or -f, or participants by -s STUDY_ID with -p or -f.")
    with Client() as client:
        if submissions:
            done = client.bulk_approve_submissions(submissions)
        else:
            done = client.bulk_approve_submissions(study_id=study, participant_ids=participants)
    print_one({"message": "Approved.", **done}, ("message",), json=json)


erasing.register(app)
