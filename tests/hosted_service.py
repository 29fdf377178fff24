"""The hosted service as far as its secured links go: keys of its own, and tokens that they sign."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

ISSUER = "https://www.prolific.com"


class HostedService:
    """Signs as the service does; everything in a token can be given otherwise."""

    def __init__(self, kid: str = "key-1") -> None:
        self.kid = kid
        self.key = RSAKey.generate_key(2048, {"kid": kid})

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**self.key.as_dict(private=False), "use": "sig", "alg": "RS256"}]}

    def write_keys(self, path: Path) -> Path:
        path.write_text(json.dumps(self.jwks))
        return path

    def claims(self, study_url: str, participant: str, session: str, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": ISSUER,
            "aud": study_url,
            "sub": session,
            "iat": now,
            "exp": now + 300,
            "prolific": {
                "PROLIFIC_PID": participant,
                "STUDY_ID": "hosted-study",
                "SESSION_ID": session,
                "workspace_id": "w",
            },
            **other,
        }

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.kid, **header}, claims, self.key)
