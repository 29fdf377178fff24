"""Commands about studies and who takes part, as scripts for the hosted service's client call them."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from fieldpack.cli import main
from tests.installation import Installation
from tests.scenario import Scenario, expect


@pytest.fixture(scope="module")
def command(server: Installation) -> Any:
    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = server.run(*arguments, check=False)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done

    return run


def test_the_life_of_a_study(command: Any, api: httpx.Client, tmp_path: Path) -> None:
    scenario = Scenario.create(api)
    file = tmp_path / "study.yaml"
    body = {
        "name": "From a file",
        "total_available_places": 3,
        "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
        "data_collection_id": scenario.collection["id"],
    }
    file.write_text(json.dumps(body))  # JSON is YAML
    study = json.loads(command("study", "create", "-t", str(file), "--publish", "--json").stdout)
    assert study["status"] == "ACTIVE"
    file.write_text("name: Renamed\n")
    assert command("study", "update", study["id"], "-t", str(file), "-s").stdout == ""
    assert "Renamed" in command("study", "view", study["id"]).stdout
    for words, status in ((["pause"], "PAUSED"), (["start"], "ACTIVE")):
        assert json.loads(command("study", *words, study["id"], "--json").stdout)["status"] == status
    paused = command("study", "transition", study["id"], "-a", "pause", "--json")
    assert json.loads(paused.stdout)["status"] == "PAUSED"
    more = command("study", "increase-places", study["id"], "-p", "9", "--json")
    assert json.loads(more.stdout)["total_available_places"] == 9
    assert "9 places already" in command("study", "increase-places", study["id"], "-p", "5", code=2).stderr
    copy = json.loads(command("study", "duplicate", study["id"], "--json").stdout)
    assert copy["status"] == "UNPUBLISHED"
    listed = json.loads(command("study", "list", "--status", "unpublished", "--json").stdout)
    assert copy["id"] in [each["id"] for each in listed]
    table = command("studies", "--csv", "--fields", "id,name").stdout
    assert [study["id"], "Renamed"] in list(csv.reader(io.StringIO(table)))
    command("study", "delete", copy["id"])
    assert "draft" in command("study", "delete", study["id"], code=1).stderr.lower()
    assert "study_url" in command("study", "test", study["id"], "--json").stdout
    assert command("study", "transition", study["id"], "-a", "FLY", code=2).stderr
    assert json.loads(command("study", "stop", study["id"], "--json").stdout)["status"] == "COMPLETED"


def test_reviewing(command: Any, api: httpx.Client, tmp_path: Path) -> None:
    scenario = Scenario.create(api)
    ids = [scenario.take_part(f"p{number}") for number in range(5)]
    study = scenario.study["id"]
    listed = json.loads(command("submission", "list", "-s", study, "-l", "2", "-o", "1", "--json").stdout)
    assert [each["id"] for each in listed] == ids[1:3]
    assert json.loads(command("submission", "approve", ids[0], "--json").stdout)["status"] == "APPROVED"
    assert "told why" in command("submission", "reject", ids[1], code=2).stderr
    told = ("-m", "Another product.", "-R", "FAILED_INSTRUCTIONS")
    rejected = command("submission", "reject", ids[1], *told, "--json")
    assert json.loads(rejected.stdout)["status"] == "REJECTED"
    undone = command("submission", "transition", ids[1], "-a", "UNREJECT", "--json")
    assert json.loads(undone.stdout)["status"] == "AWAITING REVIEW"
    command("submission", "request-return", ids[1], "-r", "Please", "-r", "do")
    assert expect(api.get(f"/submissions/{ids[1]}"), 200)["return_requested"]
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(ids[2:4]) + "\n")
    command("submission", "bulk-approve", "-f", str(file))
    command("submission", "bulk-approve", "-s", study, "-p", "p4")
    counts = json.loads(command("study", "submission-counts", study, "--json").stdout)
    assert (counts["APPROVED"], counts["AWAITING REVIEW"]) == (4, 1)
    assert command("submission", "bulk-approve", code=2).stderr
    command("submission", "erase", ids[4], code=1)
    assert "p4" in command("submission", "get", ids[4]).stdout
    command("submission", "erase", ids[4], "--yes")
    assert api.get(f"/submissions/{ids[4]}").status_code == 404


def test_projects_groups_and_oneself(
    command: Any, api: httpx.Client, server: Installation, tmp_path: Path
) -> None:
    workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    project = json.loads(command("project", "create", "-t", "Pilot", "-w", workspace, "--json").stdout)
    assert "Pilot" in command("project", "list", "-w", workspace).stdout
    assert "Pilot" in command("project", "view", project["id"]).stdout
    made = command("participant", "create", "-N", "Panel", "-w", workspace, "-p", "ada", "-p", "bo", "--json")
    group = json.loads(made.stdout)
    assert group["participant_count"] == 2
    assert "Panel" in command("participant", "list", "-w", workspace).stdout
    file = tmp_path / "left.txt"
    file.write_text("ada\n")
    command("participant", "remove", group["id"], "-f", str(file))
    left = command("participant", "view", group["id"], "--csv").stdout
    assert "bo" in left
    assert "ada" not in left
    tab = {"_FIELDPACK_COMPLETE": "complete_zsh"}
    for words, id, name in (
        ("project view", project["id"], "Pilot"),
        ("participant view", group["id"], "Panel"),
        ("study list -p", project["id"], "Pilot"),
    ):
        line = f"fieldpack {words} {id[:4]}"
        offered = ""
        while id not in offered:  # a shell waits a second for the server, which has other work
            offered = server.run(check=False, **tab, _TYPER_COMPLETE_ARGS=line).stdout
        assert name in offered
    me = expect(api.get("/users/me"), 200)
    assert json.loads(command("whoami", "--json").stdout)["email"] == me["email"]


@pytest.fixture
def here(
    server: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Any:
    """The command line in this process, in a folder without an installation, with a token for the server."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("FIELDPACK_", "PROLIFIC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PROLIFIC_URL", server.url)
    monkeypatch.setenv("PROLIFIC_TOKEN", server.token)

    def run(line: str, code: int = 0) -> str:
        assert main(line.split()) == code, (line, capsys.readouterr())
        return capsys.readouterr().out

    return run


def test_flags_as_scripts_for_the_hosted_client_give_them(here: Any, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    workspace, collection, study = (
        scenario.collection["workspace_id"],
        scenario.collection["id"],
        scenario.study["id"],
    )
    submission = scenario.take_part("ada")
    here(f"project create -t First -w {workspace}")
    here(f"project create -t Second -w {workspace} -d later")
    assert here(f"project list -w {workspace} -l 1 -o 1 -t").count("\n") == 2
    here(f"participant create -N One -w {workspace} -d both -p ada")
    assert here(f"participant list -w {workspace} -l 1 -n").count("\n") == 2
    fields = "ID,Name,ItemCount,CreatedAt,CreatedBy"
    assert f"{collection},Test collection,1," in here(f"collection list -w {workspace} -f {fields} -c")
    assert here(f"collection list -w {workspace} --limit 1 --offset 0 -t").count("\n") == 2
    assert "INTERNAL NAME" in here("study list -s active -f ID,InternalName,TotalCost,PlacesTaken -t")
    assert f"{study},," in here("studies -f ID,IsPilot,CredentialPoolID,Status -c")
    listed = here(f"submission list -s {study} -f ID,ParticipantID,Status,IsComplete -c -l 5 -o 0")
    assert listed.splitlines()[1] == f"{submission},ada,AWAITING REVIEW,True"
    assert "AWAITING REVIEW" in here(f"study submission-counts {study} -n")
    copy = here(f"study duplicate {study}").strip()
    assert expect(api.get(f"/studies/{copy}"), 200)["status"] == "UNPUBLISHED"
    draft = json.loads(here(f"collection publish {collection} -p 3 -n Draft -d --json"))
    assert draft["status"] == "UNPUBLISHED"
    more = "--percentage-of-reward 50 --message-to-participant Thanks"
    assert "REJECTED" in here(f"submission transition {submission} -a REJECT -m No -R OTHER {more}")
    assert here(f"hook create-secret -w {workspace} --delete-old-secret").strip()
    assert workspace in here(f"hook secrets -w {workspace} -f ID,WorkspaceID -c")
    hooks = here(f"hook list -w {workspace} -e -d -l 5 -o 0 -t")
    assert "There is no such" in hooks or hooks.startswith("ID ")  # those of other tests
    assert json.loads(here(f"workspace balance {workspace} --json"))["total_balance"] == 0


def test_workspaces_of_a_server_elsewhere(here: Any) -> None:
    """Where no installation is, they are those of the token's server; nothing is made here."""
    made = json.loads(here("workspace create -t Elsewhere --json"))
    assert made["id"] in here("workspace list -l 200 -o 0 -c -f ID,Title")
    assert not list(Path().iterdir())
