"""`fieldpack serve --tls` and `--public-url`: links that clients of the hosted service accept."""

from __future__ import annotations

from pathlib import Path

from tests.installation import installed
from tests.scenario import Scenario


def test_everything_over_https(tmp_path: Path) -> None:
    with installed("--tls") as server:
        with server.client() as api:
            scenario = Scenario.create(api)
            scenario.take_part("ada")
            export = scenario.export()
            assert export["url"].startswith(server.url + "/")
            assert scenario.study["external_study_url"].startswith(server.url + "/participate/")
        target = tmp_path / "export.zip"
        server.run("collection", "export", scenario.collection["id"], "-o", str(target))
        assert server.run("verify", str(target)).returncode == 0
        assert "SSL_CERT_FILE=" in server.log


def test_public_url_is_what_links_begin_with() -> None:
    with installed("--public-url", "https://data.example.org") as server, server.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("ada")
        export = scenario.export()
        assert export["url"].startswith("https://data.example.org/api/v1/")
        assert scenario.study["external_study_url"].startswith("https://data.example.org/participate/")
        local = export["url"].replace("https://data.example.org", server.url)
        assert api.get(local).status_code == 200
