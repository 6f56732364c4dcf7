-- How far velocity looks, and whether a user has enough reports for it to matter, is found out
-- before any of them is loaded.
ALTER TABLE conversions ADD COLUMN velocity_claims int, ADD COLUMN velocity_hours int;
COMMENT ON COLUMN conversions.velocity_claims IS
    'From how many claims of a user on its rules look at one; null: stored before migration 14.';
COMMENT ON COLUMN conversions.velocity_hours IS
    'How far its rules look back for those claims; null: stored before migration 14.';
GRANT SELECT (velocity_claims, velocity_hours) ON conversions TO hissaback_analyst;
CREATE INDEX conversions_user ON conversions (user_id, clicked_at) WHERE user_id IS NOT NULL;
DROP INDEX conversions_undone;
