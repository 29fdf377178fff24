"""What nothing in `src` uses of its functions, methods and classes: `python tools/unused.py` fails where there is any.

Found by vulture (https://github.com/jendrikseipp/vulture), which goes by names. What others call is listed below.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path

from vulture import Vulture

SRC = Path(__file__).parents[1] / "src"
KINDS = ("class", "function", "import", "method", "property")
# Decorated so, a function is reached through what it is registered with.
REGISTERED_BY = (
    *("@*router.*", "@*app.*", "@*_app.*", "@*.callback*", "@blueprint.*", "@list_command"),
    *("@field_validator*", "@model_validator*", "@field_serializer*"),
)
CALLED_BY_OTHERS = {
    "__getattr__": "PEP 562",
    "__dir__": "PEP 562",
    "get_*": "the Python API, and routes",
    "transition_submission": "the Python API",
    "list_project_studies": "the Python API",
    "*_participant_group*": "the Python API",
    "*_group_participants": "the Python API",
    "test_study": "the Python API",
    "to_polars": "the Python API",
    "to_csv": "the Python API",
    "format_commands": "click",
    "readable": "io.RawIOBase",
    "readinto": "io.RawIOBase",
    "readall": "io.RawIOBase",
    "data_received": "asyncio.Protocol",
    "wait_closed": "asyncio.Server",
    "on_chunk_header": "httptools",
    "init_headers": "starlette.responses.Response",
    "get_retry_decision": "procrastinate",
    "scan_*": "ruamel.yaml.scanner.Scanner",
    "next_possible_simple_key": "ruamel.yaml.scanner.Scanner",
    "url_path_for": "starlette.routing.BaseRoute",
    "override_method": "a route of several methods",
    "copy_part": "kept: large objects are to be built inside the bucket",
}


def main() -> int:
    """Print what is unused; 1 if anything is."""
    finder = Vulture(ignore_decorators=REGISTERED_BY)
    finder.scavenge([str(SRC)], exclude=["*/versions/*"])
    found = [
        item
        for item in finder.get_unused_code(min_confidence=60)
        if item.typ in KINDS and not any(fnmatch(item.name, name) for name in CALLED_BY_OTHERS)
    ]
    for item in found:
        print(f"{item.filename.relative_to(SRC.parent)}:{item.first_lineno}: unused {item.typ} {item.name}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
