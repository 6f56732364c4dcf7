-- Rates beyond one percentage, partners' own rates, commission rules, locked books; and why a claim
-- stands as it does. Numbers are checked here against the range of an amount, 10^12; what the file
-- of an import says is checked before, field by field (operations/src/reference/validation).

ALTER TABLE tenant_versions
    ADD COLUMN level text NOT NULL DEFAULT 'standard'
        CHECK (level IN ('standard', 'bronze', 'silver', 'gold', 'platinum'));
COMMENT ON COLUMN tenant_versions.level IS 'Standing as a partner, which commission rules may ask for.';

ALTER TABLE offer_versions
    ALTER COLUMN base_commission_pct DROP NOT NULL,
    ADD COLUMN commission_flat numeric CHECK (commission_flat BETWEEN 0 AND 1000000000000),
    ADD CONSTRAINT one_rate CHECK (num_nonnulls(base_commission_pct, commission_flat) = 1);
COMMENT ON COLUMN offer_versions.base_commission_pct IS 'Our own rate as a percentage of the sale amount; null where it is flat. Shown only, where the source is payout.';
COMMENT ON COLUMN offer_versions.commission_flat IS 'Our own rate as an amount for each conversion, in units of the offer''s currency; null where it is a percentage.';
COMMENT ON COLUMN offer_versions.commission_source IS 'percentage: our own rate, of the sale or flat. payout: what the network reports.';

CREATE TABLE offer_goal_rates (
    offer_id        int NOT NULL,
    version         int NOT NULL,
    goal_id         text NOT NULL CHECK (goal_id <> ''),
    commission_pct  numeric(5,2) CHECK (commission_pct BETWEEN 0 AND 100),
    commission_flat numeric CHECK (commission_flat BETWEEN 0 AND 1000000000000),
    PRIMARY KEY (offer_id, version, goal_id),
    FOREIGN KEY (offer_id, version) REFERENCES offer_versions,
    CONSTRAINT one_rate CHECK (num_nonnulls(commission_pct, commission_flat) = 1)
);
COMMENT ON TABLE offer_goal_rates IS
    'Our own rates of single goals of an offer''s version; any other goal has the rate of the version itself.';
COMMENT ON COLUMN offer_goal_rates.version IS 'Version of the offer that it belongs to.';
COMMENT ON COLUMN offer_goal_rates.goal_id IS 'The network''s name of the goal.';
COMMENT ON COLUMN offer_goal_rates.commission_pct IS 'Percentage of the sale amount; null where the rate is flat.';
COMMENT ON COLUMN offer_goal_rates.commission_flat IS 'Amount for each conversion, in units of the offer''s currency; null where the rate is a percentage.';

CREATE TABLE commission_overrides (
    tenant_id       uuid NOT NULL REFERENCES tenants,
    offer_id        int NOT NULL REFERENCES offers,
    goal_id         text NOT NULL DEFAULT '',
    version         int NOT NULL CHECK (version > 0),
    effective_at    timestamptz NOT NULL,
    valid_until     timestamptz,
    commission_pct  numeric(5,2) CHECK (commission_pct BETWEEN 0 AND 100),
    commission_flat numeric CHECK (commission_flat BETWEEN 0 AND 1000000000000),
    saved_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, offer_id, goal_id, version),
    CONSTRAINT ends_after_it_begins CHECK (valid_until > effective_at),
    CONSTRAINT one_rate_at_most CHECK (num_nonnulls(commission_pct, commission_flat) <= 1)
);
CREATE INDEX commission_overrides_offer ON commission_overrides (offer_id);
COMMENT ON TABLE commission_overrides IS
    'A tenant''s own rate for an offer, instead of the offer''s. A conversion is priced by the version in force at its click.';
COMMENT ON COLUMN commission_overrides.goal_id IS 'The goal that it is for; empty: all goals.';
COMMENT ON COLUMN commission_overrides.version IS 'Counts from 1 for each tenant, offer and goal.';
COMMENT ON COLUMN commission_overrides.effective_at IS 'In force from here until the next version''s instant or valid_until; at least 60 seconds after it is saved.';
COMMENT ON COLUMN commission_overrides.valid_until IS 'From here on it no longer holds; null: until the next version.';
COMMENT ON COLUMN commission_overrides.commission_pct IS 'Percentage of the sale amount. Null, like commission_flat, where the override is withdrawn.';
COMMENT ON COLUMN commission_overrides.commission_flat IS 'Amount for each conversion, in units of the offer''s currency.';
COMMENT ON COLUMN commission_overrides.saved_at IS 'When it was saved.';

CREATE TABLE commission_rule_sets (
    version      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    effective_at timestamptz NOT NULL,
    rules        jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'object'),
    saved_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE commission_rule_sets IS
    'The platform''s commission rules as data, for all tenants and offers. A conversion follows the set in force at its click.';
COMMENT ON COLUMN commission_rule_sets.version IS 'Pinned in each decision, and shown in ledger.rating.';
COMMENT ON COLUMN commission_rule_sets.effective_at IS 'In force from here until the next set; at least 60 seconds after it is saved.';
COMMENT ON COLUMN commission_rule_sets.rules IS 'How many rules that hold apply (application: first, all), and the rules in their order, each with its conditions and actions.';
COMMENT ON COLUMN commission_rule_sets.saved_at IS 'When it was saved.';

CREATE TABLE tenant_locks (
    tenant_id      uuid NOT NULL REFERENCES tenants,
    version        int NOT NULL CHECK (version > 0),
    effective_at   timestamptz NOT NULL,
    locked_through date NOT NULL CHECK (locked_through BETWEEN '2000-01-01' AND '2099-12-31'),
    saved_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, version)
);
COMMENT ON TABLE tenant_locks IS
    'Until which day a tenant''s books are locked. The lock in force when a report is appended to the log counts for it.';
COMMENT ON COLUMN tenant_locks.version IS 'Counts from 1 for each tenant.';
COMMENT ON COLUMN tenant_locks.effective_at IS 'In force from here until the next version''s instant; at least 60 seconds after it is saved.';
COMMENT ON COLUMN tenant_locks.locked_through IS 'Last day that is locked, UTC: conversions before its end. A later version with an earlier day opens the books again.';
COMMENT ON COLUMN tenant_locks.saved_at IS 'When it was saved.';

-- Unknown for what was saved before this migration.
ALTER TABLE tenant_versions ADD COLUMN saved_at timestamptz;
ALTER TABLE tenant_versions ALTER COLUMN saved_at SET DEFAULT now();
ALTER TABLE offer_versions ADD COLUMN saved_at timestamptz;
ALTER TABLE offer_versions ALTER COLUMN saved_at SET DEFAULT now();
ALTER TABLE campaign_versions ADD COLUMN saved_at timestamptz;
ALTER TABLE campaign_versions ALTER COLUMN saved_at SET DEFAULT now();
ALTER TABLE fraud_rule_sets ADD COLUMN saved_at timestamptz;
ALTER TABLE fraud_rule_sets ALTER COLUMN saved_at SET DEFAULT now();
COMMENT ON COLUMN tenant_versions.saved_at IS 'When it was saved; null: before this was kept.';
COMMENT ON COLUMN offer_versions.saved_at IS 'When it was saved; null: before this was kept.';
COMMENT ON COLUMN campaign_versions.saved_at IS 'When it was saved; null: before this was kept.';
COMMENT ON COLUMN fraud_rule_sets.saved_at IS 'When it was saved; null: before this was kept.';

ALTER TABLE ledger
    ADD COLUMN rating   jsonb,
    ADD COLUMN evidence jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN ledger.rating IS 'How the commission came about: our own rate and where it is from, what it and the network''s payout come to, the rules that applied and the version of their set; null: written before this was kept.';
COMMENT ON COLUMN ledger.evidence IS 'The values that each of reasons rests on, by its code, where there are any.';

GRANT SELECT ON offer_goal_rates, commission_overrides, commission_rule_sets, tenant_locks
    TO hissaback_writer, hissaback_operator;
GRANT INSERT ON offer_goal_rates, commission_overrides, commission_rule_sets, tenant_locks
    TO hissaback_operator;
GRANT SELECT ON offer_goal_rates, commission_overrides, tenant_locks TO hissaback_api;

SELECT isolate(name::regclass, 'tenant_id = current_tenant()')
FROM unnest(ARRAY['commission_overrides', 'tenant_locks']) AS name;
