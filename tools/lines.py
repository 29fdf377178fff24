"""Lines of `src/fieldpack` by folder, at two commits: `python tools/lines.py d5b09ba HEAD`, as a table in Markdown.

Counted are the lines, blank ones and comments too, of every file that git knows there and that is text; without the
pages' catalogues (`locales/`), which are translations. A folder is the first below `fieldpack/`, in `server/` the
second; what lies beside folders is counted as `modules`.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
SOURCE = "src/fieldpack"


def ask_git(*arguments: str) -> bytes:
    """What git prints.

    Raises:
        subprocess.CalledProcessError: there is no such commit.
    """
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def place_of(path: PurePosixPath) -> str:
    """The folder that a file below `src/fieldpack` is counted for."""
    folders = path.parts[:-1]
    if not folders:
        return "modules"
    if folders[0] == "server":
        return f"server/{folders[1]}/" if len(folders) > 1 else "server/ modules"
    return f"{folders[0]}/"


def count_lines(commit: str) -> Counter[str]:
    """Lines by folder at a commit."""
    found: Counter[str] = Counter()
    for name in ask_git("ls-tree", "-r", "--name-only", "-z", commit, "--", SOURCE).decode().split("\0"):
        path = PurePosixPath(name)
        if name and "locales" not in path.parts:
            content = ask_git("show", f"{commit}:{name}")
            if b"\0" not in content:
                found[place_of(path.relative_to(SOURCE))] += len(content.splitlines())
    return found


def main() -> None:
    """Print the table."""
    before, now = (count_lines(commit) for commit in sys.argv[1:3])
    print("| folder | before | now |", "|---|---|---|", sep="\n")
    for place in sorted(before | now):
        print(f"| `{place}` | {before[place]:,} | {now[place]:,} |")
    print(f"| all | {before.total():,} | {now.total():,} |")


if __name__ == "__main__":
    main()
