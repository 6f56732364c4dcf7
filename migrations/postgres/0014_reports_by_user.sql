-- Whether a user has enough reports for velocity to matter is counted before any of them is loaded.
ALTER TABLE conversions ADD COLUMN velocity_claims int;
COMMENT ON COLUMN conversions.velocity_claims IS
    'From how many claims of a user on its rules look at one; null in rows from before migration 14.';
GRANT SELECT (velocity_claims) ON conversions TO hissaback_analyst;
CREATE INDEX conversions_user ON conversions (user_id, clicked_at) WHERE user_id IS NOT NULL;
DROP INDEX conversions_undone;
