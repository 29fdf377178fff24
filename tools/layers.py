"""The house's layers, drawn from its imports: `python tools/layers.py` prints them, and fails where one is broken.

Every import counts: within functions and for type checkers only as well. A package stands for its whole folder, but of
a resource of the server, what answers requests (`routes`, `…_routes`, `access`) stands above the rest.

Broken is a circle of modules, an import that runs up, routes that anything but the application or their own resource
imports (what two of them need is a service), a folder of more than 12 modules, and `server/` with more than 8.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "src"
NAME = "fieldpack"
MOST_IN_A_FOLDER, MOST_IN_SERVER = 12, 8
# From the top floor down. What stands on one line knows nothing of its neighbours.
LAYERS = (
    "__main__",
    "cli",
    "server.backup",
    "server.run",
    "server.app",
    "server.envelope",
    "server.web, server.uploads routes",
    "server.responses, server.submissions routes, server.operations",
    "server.exports routes, server.imports",
    "server.submissions",
    "server.exports, server.installation, server.studies routes, server.projects routes, "
    "server.groups routes, server.hooks routes, server.tickets",
    "server.collections routes, server.studies, server.uploads",
    "server.collections, server.pictures routes, server.audit routes, demo, assistants",
    "server.pictures, server.thumbnails, server.projects, server.groups, server.hooks, server.changes, "
    "server.accounts routes, client",
    "server.erasures, server.http, server.jobs, export",
    "server.accounts, server.cleanup, server.selection, server.context, convert, report",
    "server.audit",
    "server.db, tables",
    "server.storage, server.machine, reading",
    "server.config, archive, containment, links, pictures",
    "server.caches, server.notices, server.problems, server.values, documents, example, filetypes, files, text, errors",
)
FLOORS = {place: len(LAYERS) - at for at, line in enumerate(LAYERS) for place in line.split(", ")}
ROUTES = re.compile(r"(?:^|_)routes$")
DOOR = re.compile(r"(?:^|_)(?:routes|access)$")


def list_modules() -> dict[str, Path]:
    """Every module by its name, migrations excepted."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "versions" not in parts:
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = list_modules()


def imports_of(module: str) -> Iterator[str]:
    """The modules of ours that a module imports."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in MODULES or node.module in MODULES:
                    yield full if full in MODULES else node.module


def place_of(module: str) -> str | None:
    """What of `LAYERS` a module belongs to; None for the package's own face, which hands names on."""
    parts = module.split(".")[1:]
    if not parts or parts == ["server"]:
        return None
    if parts[0] != "server":
        return parts[0]
    place = ".".join(parts[:2])
    return f"{place} routes" if f"{place} routes" in FLOORS and DOOR.search(parts[-1]) else place


def is_strange(module: str, routes: str) -> bool:
    """Whether a module of the server has no business with these routes: it is neither the application nor of the same
    resource."""
    return (
        routes.startswith(f"{NAME}.server.")
        and module != f"{NAME}.server.app"
        and module.split(".")[:3] != routes.split(".")[:3]
    )


def find_circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in arrows[module]:
            if other not in order:
                visit(other)
            if other in stack:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == order[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                circles.append(sorted(stack[at:]))
            del stack[at:]

    for module in arrows:
        if module not in order:
            visit(module)
    return circles


def find_faults() -> list[str]:
    """Everything that is broken, a sentence each."""
    arrows = {module: set(imports_of(module)) - {module} for module in MODULES}
    faults = [f"circle: {', '.join(circle)}" for circle in find_circles(arrows)]
    for module, others in arrows.items():
        place = place_of(module)
        if place is not None and place not in FLOORS:
            faults.append(f"{module}: {place} is on no floor; put it in LAYERS")
            continue
        for other in sorted(others):
            below = place_of(other)
            if ROUTES.search(other.rpartition(".")[2]) and is_strange(module, other):
                faults.append(f"{module} imports the routes {other}; move what it needs to a service")
            if place is None or below is None or place == below or below not in FLOORS:
                continue
            if FLOORS[below] >= FLOORS[place]:
                faults.append(f"{module} (floor {FLOORS[place]}) imports {other} (floor {FLOORS[below]})")
    counts: dict[Path, int] = defaultdict(int)
    for path in MODULES.values():
        counts[path.parent] += path.name != "__init__.py"
    for folder, count in counts.items():
        most = MOST_IN_SERVER if folder == ROOT / NAME / "server" else MOST_IN_A_FOLDER
        if count > most:
            faults.append(f"{folder.relative_to(ROOT)} holds {count} modules, more than {most}")
    return faults


def main() -> int:
    """Print the layers and what is broken; 1 if anything is."""
    for line in LAYERS:
        print(f"{FLOORS[line.split(', ')[0]]:3}  {line}")
    faults = find_faults()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(MODULES)} modules, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
