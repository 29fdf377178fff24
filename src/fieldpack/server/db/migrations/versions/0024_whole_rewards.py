"""Rewards are whole: a fraction, as the first version kept, is rounded up, and named in the log."""

from __future__ import annotations

import structlog
from alembic import op
from sqlalchemy import text

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

ROUND = """
UPDATE studies s SET fields = jsonb_set(s.fields, '{reward}', to_jsonb(ceil((s.fields ->> 'reward')::numeric)))
FROM (SELECT id, (fields ->> 'reward')::numeric AS reward FROM studies
      WHERE jsonb_typeof(fields -> 'reward') = 'number' AND fields ->> 'reward' LIKE '%.%') before
WHERE before.id = s.id
RETURNING s.id, before.reward AS stored, ceil(before.reward) AS reward
"""

log = structlog.get_logger()


def upgrade() -> None:
    for row in op.get_bind().execute(text(ROUND)).all():
        if row.stored != row.reward:  # 100.0 is 100
            log.warning(
                "study.reward_rounded", study_id=str(row.id), stored=str(row.stored), reward=int(row.reward)
            )
