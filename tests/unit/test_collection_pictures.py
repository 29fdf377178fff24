"""Pictures beside a collection's file: checked without a server, and never from outside of its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fieldpack.cli import main
from fieldpack.cli.collections.pictures import read_pictures
from fieldpack.cli.collections.template import read_template
from fieldpack.pictures import MOST_BYTES
from tests.pictures import make_drawing, save

SURVEY = """\
name: Shopping
task_details:
  task_name: Shopping
  task_introduction: Hello
  task_steps: One
collection_items:
  - page_items:
      - {type: free_text, description: Say}
      - type: image
        alt_text: A drawing
        url: "ADDRESS"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "survey"
    (made / "more").mkdir(parents=True)
    picture = save(make_drawing(), "PNG")
    for name in ("survey/photo.png", "survey/more/my photo.png", "survey/ümläut.png", "outside.png"):
        (tmp_path / name).write_bytes(picture)
    (made / "empty.png").write_bytes(b"")
    (made / "drawing.png").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    (made / "cut.png").write_bytes(picture[:-30])
    (made / "large.png").write_bytes(picture + bytes(MOST_BYTES))
    (made / "link.png").symlink_to(tmp_path / "outside.png")
    (made / "elsewhere").symlink_to(tmp_path)
    os.mkfifo(made / "pipe.png")
    monkeypatch.chdir(made)
    return made


def check(capsys: pytest.CaptureFixture[str], text: str, name: str = "s.yaml") -> tuple[int, list[str]]:
    Path(name).write_text(text)
    code = main(["collection", "check", name])
    shown = capsys.readouterr()
    return code, shown.err.splitlines()


@pytest.mark.parametrize(
    "name", ["./photo.png", "photo.png", "more/my photo.png", "././more//my photo.png", "ümläut.png"]
)
def test_a_picture_in_the_folder_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert check(capsys, SURVEY.replace("ADDRESS", name)) == (0, [])
    found = read_pictures(read_template(Path("s.yaml")))
    assert found.files == {name: (folder / name).read_bytes()}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./nothing.png", "there is no such file"),
        ("./empty.png", "empty"),
        ("./drawing.png", "SVG"),
        ("./cut.png", "cut short"),
        ("./large.png", "at most 10.0 MB"),
        ("./more", "is a folder"),
        ("./photo.png/x", "is a file where a folder should be"),
        ("../outside.png", "must lie in the folder"),
        ("more/../../outside.png", "must lie in the folder"),
        ("./link.png", "symbolic link"),
        ("elsewhere/outside.png", "symbolic link"),
        ("./pipe.png", "pipe"),
        (".\\\\photo.png", "write /"),
        ("./" + "x" * 300, "no name that this file system takes"),
        ("/etc/passwd", "must be a file beside this one"),
        ("~/photo.png", "there is no such file"),
        ("file:///etc/passwd", "must be a file beside this one"),
        ("C:/photo.png", "must be a file beside this one"),
        ("http://example.org/a.png", "must be a file beside this one"),
    ],
)
def test_what_is_none_is_told_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    code, lines = check(capsys, SURVEY.replace("ADDRESS", name))
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("s.yaml:11: page 1, item 2: ")
    assert said in lines[0]


def test_pictures_in_texts_are_found_as_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = {
        "name": "Shopping",
        "task_details": {
            "task_name": "a",
            "task_introduction": "<p><img alt='x' src='./photo.png'></p>",
            "task_steps": '<IMG src="./gone.png">',
        },
        "collection_items": [
            {
                "page_items": [
                    {"type": "free_text", "description": "![Not](./text.png) a picture"},
                    {"type": "rich_text", "content": '<img src="./more/my photo.png"> ![no](./html.png)'},
                    {
                        "type": "rich_text",
                        "content_format": "markdown",
                        "content": "![a](photo.png 'Title')\n![b [c\\]](<./more/my photo.png>)\n![d](./cut.png)",
                    },
                ]
            }
        ],
    }
    code, lines = check(capsys, json.dumps(body, indent=1), "s.json")
    assert code == 2
    assert [line.partition("can't be used")[0].partition("picture ")[2] for line in lines] == [
        "'./gone.png' ",
        "'./cut.png' ",
    ]
    found = read_pictures(read_template(Path("s.json")))
    assert sorted(found.files) == ["./more/my photo.png", "./photo.png", "photo.png"]
    stand_in = '<img src="/api/v1/pictures/00000000-0000-0000-0000-000000000000">'
    assert found.body["collection_items"][0]["page_items"][1]["content"] == f"{stand_in} ![no](./html.png)"


def test_pictures_of_others_are_warned_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = check(capsys, SURVEY.replace("ADDRESS", "https://pictures.example/a.png"))
    assert code == 0
    assert lines == [
        "s.yaml:11: warning: page 1, item 2: participants' browsers fetch this picture from pictures.example, which "
        "learns their internet addresses; put the file beside this one, and name it, as ./picture.png"
    ]
    text = SURVEY.replace("Hello", "\"<img src='//pictures.example/a.png'>\"").replace("ADDRESS", "photo.png")
    assert "pictures.example" in check(capsys, text)[1][0]
    served = "http://localhost:8000/api/v1/pictures/0b9d4e0e-3f6b-4c39-9d0a-6d1f2b3a4c5d"
    assert check(capsys, SURVEY.replace("ADDRESS", served)) == (0, [])


def test_a_text_without_end_takes_no_time(folder: Path) -> None:
    for piece in ("<img ", "<img src=", "![", "![a](", "<img src='", "![a](<"):
        Path("s.json").write_text(
            json.dumps({"task_details": {"task_steps": piece * 30_000}, "collection_items": [
                {"page_items": [{"type": "rich_text", "content_format": "markdown", "content": piece * 30_000}]}
            ]})
        )  # fmt: skip
        read_pictures(read_template(Path("s.json")))


def test_a_server_that_takes_no_pictures_is_told_apart_from_one_that_refuses_this(folder: Path) -> None:
    from fieldpack import ApiError, FieldpackError
    from fieldpack.errors import TemplateError

    class Refusing:
        base_url = "https://hosted.example"

        def __init__(self, status: int, detail: object) -> None:
            self.error = ApiError("No.", status=status, detail=detail)

        def upload_picture(self, workspace_id: str, data: bytes) -> dict[str, str]:
            raise self.error

    Path("s.yaml").write_text(SURVEY.replace("ADDRESS", "./photo.png"))
    pictures = read_pictures(read_template(Path("s.yaml")))
    with pytest.raises(TemplateError) as refused:
        pictures.upload(Refusing(400, {"picture": ["It is damaged."]}), "w")  # type: ignore[arg-type]
    assert refused.value.problems == (
        "s.yaml:11: page 1, item 2: the picture './photo.png' can't be used: It is damaged",
    )
    with pytest.raises(FieldpackError, match="give their https addresses"):
        pictures.upload(Refusing(404, "Nothing here."), "w")  # type: ignore[arg-type]
    with pytest.raises(ApiError):
        pictures.upload(Refusing(507, "Full."), "w")  # type: ignore[arg-type]
