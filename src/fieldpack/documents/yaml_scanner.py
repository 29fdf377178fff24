"""The scanner that YAML is read with: the package's own, held to time in proportion to the length of the text.

It overrides methods of ruamel.yaml that are not documented. `tests/long/test_yaml_proportion.py` measures each kind of
token, and fails when they change.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml.scanner import Scanner, ScannerError

from fieldpack.documents.nodes import DocumentError

__all__ = ["LONGEST_TAG", "BoundedScanner"]

LONGEST_TAG = 200
"""Characters of a tag's handle, and of what stands behind it: those that mean something here have 23 together."""
LONGEST_KEY = 1024
"""Characters after which text is no key any more, unless `?` announced one (YAML 1.2.2 §7.4.2)."""
VERSIONS = ((1, 1), (1, 2))
_LINE_ENDS = "\0\r\n\x85\u2028\u2029"


class BoundedScanner(Scanner):
    """Makes tokens of text; raises DocumentError where the package would take too long, or fail."""

    # The package decodes a tag by adding one character to the others, which takes the square of their number. That is
    # the second time: a % that the first time made would be taken for the beginning of another escape.

    def scan_tag_handle(self, name: Any, start_mark: Any) -> Any:
        return _check_tag(super().scan_tag_handle(name, start_mark), start_mark)

    def scan_tag_uri(self, name: Any, start_mark: Any) -> Any:
        return _check_tag(super().scan_tag_uri(name, start_mark), start_mark)

    def scan_block_scalar_ignored_line(self, start_mark: Any) -> None:
        """Passes over what stands behind | or >; the package collects it, in the same manner."""
        reader = self.reader
        while reader.peek() == " ":
            reader.forward()
        if reader.peek() == "#":
            while reader.peek() not in _LINE_ENDS:
                reader.forward()
        if (character := reader.peek()) not in _LINE_ENDS:
            raise ScannerError(
                "while scanning a block scalar",
                start_mark,
                f"expected a comment or a line break, but found {character!r}",
                reader.get_mark(),
            )
        self.scan_line_break()

    # What may turn out to be a key is kept by the number of brackets around it, and goes when its bracket ends: so the
    # oldest always stands first. The package looks at all of them, of which there may be 1,024, with every token.

    def next_possible_simple_key(self) -> Any:
        for key in self.possible_simple_keys.values():
            return key.token_number
        return None

    def stale_possible_simple_keys(self) -> None:
        for key in self.possible_simple_keys.values():
            if key.line != self.reader.line or self.reader.index - key.index > LONGEST_KEY:
                super().stale_possible_simple_keys()
            return

    # For what is no version, or no character, the package raises errors of Python's own, without a line.

    def scan_yaml_directive_value(self, start_mark: Any) -> Any:
        try:
            version = super().scan_yaml_directive_value(start_mark)
        except ValueError:  # more digits than Python makes a number of
            version = None
        if version not in VERSIONS:
            raise DocumentError("there is no such version of YAML: write 1.2, or none.", start_mark.line + 1)
        return version

    def scan_flow_scalar_non_spaces(self, double: Any, start_mark: Any) -> Any:
        try:
            return super().scan_flow_scalar_non_spaces(double, start_mark)
        except (ValueError, OverflowError) as error:
            raise DocumentError(
                "a backslash stands here with the number of a character that does not exist.",
                self.reader.line + 1,
            ) from error


def _check_tag(part: str, start_mark: Any) -> str:
    line = start_mark.line + 1
    if len(part) > LONGEST_TAG:
        raise DocumentError(
            f"no tag has more than {LONGEST_TAG} characters: put text that starts with ! in quotes.", line
        )
    if "%" in part:
        raise DocumentError("a tag with % has no meaning here: put text that starts with ! in quotes.", line)
    return part
