"""A collection's file is judged without a server as a server judges it, and every error names its line."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack.cli import main
from fieldpack.cli.collections.files.doubts import find_doubts
from fieldpack.cli.collections.files.rules import ITEMS, check_collection
from fieldpack.cli.collections.template import read_template
from fieldpack.documents.nodes import DocumentError, read_json
from fieldpack.documents.reading import read_document
from fieldpack.documents.yaml_reading import read_yaml
from fieldpack.errors import ApiError, TemplateError

EXAMPLE = Path(__file__).parents[2] / "examples" / "collection.yaml"
WHOLE: dict[str, Any] = {
    "workspace_id": "w",
    "name": "n",
    "description": "d",
    "task_details": {"task_name": "t", "task_introduction": "i", "task_steps": "s"},
    "collection_items": [
        {
            "order": 0,
            "page_items": [
                {
                    "type": "free_text",
                    "order": 1,
                    "description": "d",
                    "required": True,
                    "helper_text": "h",
                    "placeholder_text_input": "p",
                    "validation": {"type": "string", "min": 1, "max": 2},
                },
                {
                    "type": "multiple_choice",
                    "description": "d",
                    "helper_text": "h",
                    "answer_limit": 2,
                    "disable_dropdown": True,
                    "options": [{"label": "a", "value": 1, "exclusive": True}, {"label": "b", "value": "1"}],
                },
                {
                    "type": "multiple_choice_with_free_text",
                    "description": "d",
                    "options": [{"label": "a", "value": True, "heading": "h"}],
                },
            ],
        },
        {
            "page_items": [
                {
                    "type": "free_text_with_unit",
                    "description": "d",
                    "unit_options": [
                        {"label": "g", "value": "g", "validation": {"type": "number", "min": -1, "max": 5}},
                        {"label": "oz", "value": "oz"},
                    ],
                    "default_unit": "g",
                    "unit_position": "prefix",
                    "validation": {"type": "number", "min": 0.5},
                },
                {
                    "type": "file_upload",
                    "description": "d",
                    "accepted_file_types": [".jpg", ".tar.gz"],
                    "max_file_size_mb": 0.5,
                    "min_file_count": 2,
                    "max_file_count": 3,
                },
                {"type": "rich_text", "content": "c", "content_format": "markdown"},
                {"type": "image", "url": "https://example.org/a.png", "alt_text": "a", "caption": "c"},
            ]
        },
    ],
}

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [0, 1, 2, 3, -1, -2, 10_000, 10_001, 1_000_001, 10**15, 1.0, 1.5, -0.5, 2.0, 1e18, 1e300]
    ),
    st.sampled_from(["", " ", "g", "1", "x", ".jpg", "jpg", "text", "string", "number", "html", "prefix"]),
    st.sampled_from(["https://example.org/x.png", "http://example.org/x.png", "https://a b", "javascript:x"]),
    st.sampled_from(["", "http://a", "https://a/b", "//a"]).map(
        lambda start: f"{start}/api/v1/pictures/0b9d4e0e-3f6b-4c39-9d0a-6d1f2b3a4c5d"
    ),
    st.sampled_from([list(ITEMS), [], {}, [None], [1], [""], [".a", "b"], [{}], {"type": "number"}]),
    st.sampled_from([*ITEMS, "multiple_choise"]),
    st.sampled_from([200, 201, 2_000, 2_001, 4_001, 100_001, 200_001]).map("x".__mul__),
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from places(one, (*path, name))


@settings(max_examples=300)
@given(st.data())
def test_the_command_line_and_the_server_take_and_refuse_the_same(data: st.DataObject) -> None:
    schemas = pytest.importorskip("fieldpack.server.collections.schemas", reason="needs the server extra")
    pydantic = pytest.importorskip("pydantic")
    from fieldpack.server.collections.inputs import describe_faults
    from fieldpack.server.collections.limits import check_limits
    from fieldpack.server.config import Settings
    from fieldpack.server.problems import Problem

    body = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(0, 3))):
        path: list[Any] = list(data.draw(st.sampled_from(sorted(places(body), key=str))))
        *parents, name = path
        holder: Any = body
        for parent in parents:
            holder = holder[parent]
        what = data.draw(st.sampled_from(["set", "set", "remove", "double"]))
        if what == "set":
            holder[name] = copy.deepcopy(data.draw(ODD))
        elif what == "remove":
            del holder[name]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[name]))
    body.setdefault("workspace_id", "w")
    if not body["workspace_id"]:
        body["workspace_id"] = "w"  # the command fills it in
    refused: set[str] = set()
    try:
        schemas.CollectionInput.model_validate(body)
    except pydantic.ValidationError as error:
        refused = set(describe_faults(error.errors()))
    try:
        check_limits(body, Settings())
    except Problem as problem:
        refused.update(problem.detail)  # by field path
    findings = check_collection(body)
    found = {".".join(map(str, finding.path)) for finding in findings if finding.is_error}
    assert found == refused, [(finding.path, finding.message) for finding in findings]
    if not found:
        find_doubts(body, {})  # never fails on what a server takes


SURVEY = """\
name: Shopping
task_details:
  task_name: 2026
  task_introduction: no
  task_steps: 1.50
collection_items:
  - page_items:
      - type: free_text
        description: 12
  - page_items:
      - type: rich_text
        content: >-
          two
          lines
      - {type: image, url: "https://example.org/api/v1/pictures/0b9d4e0e-3f6b-4c39-9d0a-6d1f2b3a4c5d", alt_text: 7}
      - type: multiple_choise
        description: x
        options: [{label: 1, value: 1}, {label: no, value: no}]
"""


def check(
    capsys: pytest.CaptureFixture[str], folder: Path, text: str, name: str = "survey.yaml"
) -> tuple[int, str]:
    (folder / name).write_text(text, encoding="utf-8")
    code = main(["collection", "check", str(folder / name)])
    said = capsys.readouterr()
    return code, (said.err + said.out).replace(f"{folder}/", "")


def test_an_error_names_file_line_place_and_what_was_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "survey.yaml:16: page 2, item 3: there is no type 'multiple_choise'; did you mean 'multiple_choice'?\n"
    assert check(capsys, tmp_path, SURVEY) == (2, said)
    fixed = SURVEY.replace("choise", "choice")
    assert check(capsys, tmp_path, fixed) == (0, "survey.yaml: OK, 2 pages, 4 items.\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: Shopping\n", "", ["survey.yaml:1: name is missing"]),
        ("name: Shopping", "name:", ["survey.yaml:1: name is missing"]),
        ("name: Shopping", "name: ''", ["survey.yaml:1: name is empty"]),
        ("        description: 12\n", "", ["survey.yaml:8: page 1, item 1: description is missing"]),
        ("  task_steps: 1.50\n", "", ["survey.yaml:2: task_steps is missing"]),
        ("label: no", "lable: no", ["survey.yaml:18: page 2, item 3, option 2: label is missing"]),
        ("value: no", "value: 1.0", ["survey.yaml:18: page 2, item 3: the value 1.0 occurs twice"]),
        ("alt_text: 7", "alt_text: 7, caption: [x]", ["survey.yaml:15: page 2, item 2: caption must be text"]),
        (
            "description: 12",
            "required: yes\n        validation: {type: string, min: 5, max: 2}\n        description: 12",
            [
                "survey.yaml:9: page 1, item 1: required must be true or false, not 'yes'",
                "survey.yaml:10: page 1, item 1: validation.max is 2, less than min, which is 5",
            ],
        ),
        (
            "    description: x",
            "    answer_limit: 3\n        description: x",
            ["survey.yaml:17: page 2, item 3: answer_limit is 3, but there are 2 options"],
        ),
    ],
)  # fmt: skip
def test_every_kind_of_error_has_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: list[str]
) -> None:
    text = SURVEY.replace("choise", "choice")
    assert old in text
    code, shown = check(capsys, tmp_path, text.replace(old, new))
    assert code == 2
    errors = [line for line in shown.splitlines() if ": warning" not in line]
    assert len(errors) == len(said)
    for line, start in zip(errors, said, strict=True):
        assert line.startswith(start)


def test_json_has_lines_too_and_is_told_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = copy.deepcopy(WHOLE)
    body["collection_items"][0]["page_items"][0]["description"] = 7
    text = json.dumps(body, indent=2)
    line = text[: text.index('"description": 7')].count("\n") + 1
    code, said = check(capsys, tmp_path, text, "survey.json")
    assert (code, said) == (2, f"survey.json:{line}: page 1, item 1: description must be text, not 7\n")
    assert main(["collection", "check", str(tmp_path / "survey.json"), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], len(told["problems"])) == (False, 1)
    assert told["problems"][0] == {
        "level": "error",
        "line": line,
        "path": "collection_items.0.page_items.0.description",
        "place": "page 1, item 1",
        "message": "description must be text, not 7",
    }


UPLOAD = """\
name: Files
task_details: {task_name: a, task_introduction: b, task_steps: c}
collection_items:
  - page_items:
      - type: file_upload
        description: Files
        accepted_file_types: [.JPG, .png, .nef, .csv, .omv2, .tar.gz]
"""


def test_it_says_how_each_listed_extension_will_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = """\
survey.yaml: OK, 1 page, 1 item.
  page 1, item 1: .jpg (also .jpeg .jpe .jfif), .png, .tar.gz (also .tgz): by signature
  page 1, item 1: .nef: by family, a TIFF picture
  page 1, item 1: .csv: by family, plain text
  page 1, item 1: .omv2: not known, any content is accepted
"""
    assert check(capsys, tmp_path, UPLOAD) == (0, said)
    assert main(["collection", "check", str(tmp_path / "survey.yaml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["file_types"]
    assert {each["extension"]: each["judged_by"] for each in told} == {
        ".jpg": "signature",
        ".png": "signature",
        ".nef": "family",
        ".csv": "family",
        ".omv2": "nothing",
        ".tar.gz": "signature",
    }
    assert told[0] == {
        "place": "page 1, item 1",
        "extension": ".jpg",
        "also": [".jpeg", ".jpe", ".jfif"],
        "judged_by": "signature",
        "what": "a JPEG picture",
    }


def test_the_example_is_right_and_json_and_yaml_are_read_alike(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collection", "check", str(EXAMPLE)]) == 0
    assert "OK, 2 pages, 11 items." in capsys.readouterr().out
    text = json.dumps(WHOLE)
    yaml, plain = read_yaml(text), read_json(text.encode())
    assert yaml is not None
    from fieldpack.documents.nodes import build

    assert build(yaml, lambda *_: False)[0] == build(plain, lambda *_: False)[0] == WHOLE


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("type: free_text\n        validation: {type: string, max: 0}", "nobody can answer"),
        ("type: free_text\n        validation: {type: string, min: 2000000}", "nobody can answer"),
        ("type: free_text\n        validation: {type: string, min: 2.2, max: 2.8}", "nobody can answer"),
        (
            "type: free_text_with_unit\n        validation: {type: number, max: 10}\n        unit_options:\n"
            "          - {label: g, value: g, validation: {type: number, min: 20}}",
            "unit 1: nobody can answer in this unit",
        ),
        (
            "type: multiple_choice\n        answer_limit: 2\n        options: "
            "[{label: a, value: a, exclusive: true}, {label: b, value: b, exclusive: true}]",
            "only one can be chosen",
        ),
        (
            "type: multiple_choice\n        options: [{label: a, value: 1}, {label: a, value: 2}]",
            "which is which",
        ),
        ("type: multiple_choice\n        options: [{label: a, value: 007}]", "zeros in front are lost"),
        ("type: file_upload\n        max_file_size_mb: 0.0001", "which is 104 bytes"),
        ("type: free_text\n        requird: false", "did you mean 'required'?"),
        ("type: free_text\n        helper_txt: x", "did you mean 'helper_text'?"),
    ],
)
def test_what_nobody_can_answer_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], item: str, said: str
) -> None:
    text = SURVEY.replace("choise", "choice").replace("type: free_text\n", item + "\n", 1)
    code, shown = check(capsys, tmp_path, text)
    assert code == 0
    warning = shown.splitlines()[0]
    assert warning.startswith("survey.yaml:")
    assert ": warning: page 1, item 1" in warning
    assert said in warning


def test_a_server_s_refusal_names_lines_and_keeps_what_only_it_knows(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SURVEY)
    template = read_template(tmp_path / "s.yaml")
    detail = {
        "collection_items.1.page_items.2.type": [
            "Input tag 'multiple_choise' found using 'type' does not match"
        ],
        "task_details.task_name": ["Is not allowed here.", "Is taken."],
        "collection_items.0.page_items.0.validation.max": ["Too much."],
    }
    with pytest.raises(TemplateError) as caught, template.explain():
        raise ApiError("no", status=400, detail=detail)
    name = str(tmp_path / "s.yaml")
    assert caught.value.problems == (
        f"{name}:3: task_details.task_name: Is not allowed here.",
        f"{name}:3: task_details.task_name: Is taken.",
        f"{name}:8: page 1, item 1: validation.max: Too much.",
        f"{name}:16: page 2, item 3: there is no type 'multiple_choise'; did you mean 'multiple_choice'?",
    )
    for status, other in ((409, detail), (400, "Bad request")):
        with pytest.raises(ApiError) as kept, template.explain():
            raise ApiError("no", status=status, detail=other)
        assert kept.value.status == status


def merged(levels: int, times: int) -> str:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * times)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(("levels", "times"), [(9, 9), (20, 2), (3_000, 1)])
def test_objects_merged_into_each_other_are_counted(levels: int, times: int) -> None:
    """A few bytes of `<<` can stand for billions of fields, or be nested as deep as Python's own stack."""
    with pytest.raises(DocumentError, match=r"more than|too many times"):
        read_document(merged(levels, times), is_json=False)


def test_merging_as_people_do_it_stays() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: {<<: [*b, *a], z: 4}\n"
    assert read_document(text, is_json=False).body == {
        "a": {"x": 1, "y": 2},
        "b": {"y": 3, "x": 1},
        "c": {"z": 4, "y": 3, "x": 1},
    }
