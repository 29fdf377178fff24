"""What strangers send is in the log as text, and acts on no terminal."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("form", ["console", "json"])
def test_lines_of_the_log_hold_no_control_characters(form: str) -> None:
    program = (
        "import logging, structlog\n"
        "from fieldpack.server.config import Settings\n"
        "from fieldpack.server.machine.logs import configure_logs\n"
        f"configure_logs(Settings(log_format={form!r}), process='web')\n"
        "evil = 'a\\x1b[2J\\x9b2J\\u202e\\nfake line\\u2028b'\n"
        "structlog.get_logger().warning('crash', path='/' + evil)\n"
        "logging.getLogger('other').warning(evil)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 2
    assert all("fake line" in line and line.isprintable() for line in lines)
