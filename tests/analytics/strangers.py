"""Counts and sums, as chDB's own client reads them in the directory of an engine that has stopped."""

import json
import sys

from chdb import session

engine = session.Session(sys.argv[1])


def ask(query):
    rows = str(engine.query(query, "JSONEachRow")).splitlines()
    return [json.loads(row) for row in rows]


print(
    json.dumps(
        {
            "clicks": int(ask("SELECT count() AS clicks FROM hissaback.v_clicks")[0]["clicks"]),
            "claims": ask(
                """
                SELECT toString(currency) AS currency, toString(status) AS status,
                       toUInt32(count()) AS claims,
                       toString(sum(posted_commission)) AS commission,
                       toString(sum(posted_user)) AS user_part,
                       toString(sum(posted_creator)) AS creator_part
                FROM hissaback.v_claims GROUP BY currency, status ORDER BY currency, status
                """
            ),
        }
    )
)
