-- Reference data: tenants, people, networks, offers, campaigns, links, fraud rules.
-- Primary here (design section 1), as append-only versions where terms are concerned.

-- Roles are the cluster's, so they may be there already.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[
        'hissaback_writer', 'hissaback_api', 'hissaback_operator', 'hissaback_analyst'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS', role_name);
        END IF;
    END LOOP;
END $$;

-- Nothing is anybody's unless granted below.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public
    TO hissaback_writer, hissaback_api, hissaback_operator, hissaback_analyst;

CREATE TABLE tenants (
    tenant_id     uuid PRIMARY KEY,
    name          text NOT NULL,
    logo_url      text,
    trackier_pid  varchar(64) UNIQUE,
    custom_domain text UNIQUE,
    created_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenants IS 'Creators and brands: the unit of isolation.';

CREATE TABLE tenant_versions (
    tenant_id         uuid NOT NULL REFERENCES tenants,
    version           int NOT NULL CHECK (version > 0),
    effective_at      timestamptz NOT NULL,
    default_share_pct numeric(5,2) NOT NULL CHECK (default_share_pct BETWEEN 0 AND 100),
    platform_fee_pct  numeric(5,2) NOT NULL DEFAULT 0 CHECK (platform_fee_pct BETWEEN 0 AND 100),
    platform_fee_flat numeric NOT NULL DEFAULT 0 CHECK (platform_fee_flat >= 0),
    subsidy           numeric NOT NULL DEFAULT 0 CHECK (subsidy >= 0),
    payout_min        numeric NOT NULL DEFAULT 1 CHECK (payout_min >= 0),
    kyc_required      boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, version)
);
COMMENT ON TABLE tenant_versions IS
    'Settings of a tenant: shares, fees, payouts. A version takes effect at least 60 seconds after it is saved.';

CREATE TABLE users (
    user_id    uuid PRIMARY KEY,
    phone      text,
    email      text,
    phone_hash text,
    email_hash text,
    kyc_hash   text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_phone ON users (phone);
CREATE INDEX users_phone_hash ON users (phone_hash);
CREATE INDEX users_email_hash ON users (email_hash);
COMMENT ON TABLE users IS
    'People. Phone and e-mail live here only; everything else knows people by user_id, and compares contacts by keyed hash.';

CREATE TABLE tenant_members (
    tenant_id uuid NOT NULL REFERENCES tenants,
    user_id   uuid NOT NULL REFERENCES users,
    role      text NOT NULL DEFAULT 'owner',
    since     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);
COMMENT ON TABLE tenant_members IS
    'Who runs a tenant. A shopper who shares phone or e-mail with a member purchases from themselves.';

CREATE TABLE networks (
    network_id            int PRIMARY KEY,
    name                  text NOT NULL,
    default_currency      char(3) NOT NULL DEFAULT 'USD',
    payout_means          text NOT NULL DEFAULT 'amount'
                          CHECK (payout_means IN ('amount', 'percentage')),
    fires_at_sale         boolean NOT NULL DEFAULT false,
    security_token_sha256 text,
    utc_offset_minutes    int NOT NULL DEFAULT 0
);
COMMENT ON TABLE networks IS 'Configured instances of affiliate networks.';

CREATE TABLE offers (
    offer_id   int PRIMARY KEY,
    network_id int NOT NULL REFERENCES networks,
    brand      text NOT NULL,
    sku        text,
    category   text
);
CREATE INDEX offers_category ON offers (category);
COMMENT ON TABLE offers IS 'Merchants'' offers, as their network numbers them.';

CREATE TABLE offer_versions (
    offer_id            int NOT NULL REFERENCES offers,
    version             int NOT NULL CHECK (version > 0),
    effective_at        timestamptz NOT NULL,
    tracking_url        text NOT NULL,
    currency            char(3) NOT NULL,
    commission_source   text NOT NULL DEFAULT 'percentage'
                        CHECK (commission_source IN ('percentage', 'payout')),
    base_commission_pct numeric(5,2) NOT NULL CHECK (base_commission_pct BETWEEN 0 AND 100),
    commission_max      numeric CHECK (commission_max >= 0),
    usual_sale_max      numeric CHECK (usual_sale_max >= 0),
    cool_off_days       int NOT NULL DEFAULT 30 CHECK (cool_off_days BETWEEN 0 AND 730),
    txn_id_names_order  boolean NOT NULL DEFAULT true,
    duplicate_orders    text NOT NULL DEFAULT 'reject'
                        CHECK (duplicate_orders IN ('reject', 'accept')),
    PRIMARY KEY (offer_id, version)
);
COMMENT ON TABLE offer_versions IS 'Terms of an offer. A conversion is priced by the version in force at its click.';

CREATE TABLE campaigns (
    campaign_id uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants,
    name        text NOT NULL,
    status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'archived'))
);
CREATE INDEX campaigns_tenant ON campaigns (tenant_id);
COMMENT ON TABLE campaigns IS 'Campaigns of a tenant.';

CREATE TABLE campaign_versions (
    campaign_id             uuid NOT NULL REFERENCES campaigns,
    tenant_id               uuid NOT NULL REFERENCES tenants,
    version                 int NOT NULL CHECK (version > 0),
    effective_at            timestamptz NOT NULL,
    share_pct               numeric(5,2) CHECK (share_pct BETWEEN 0 AND 100),
    attribution_window_days int NOT NULL DEFAULT 30
                            CHECK (attribution_window_days BETWEEN 1 AND 730),
    PRIMARY KEY (campaign_id, version)
);
COMMENT ON TABLE campaign_versions IS
    'Terms of a campaign. Without a share, the tenant''s default at the click holds.';

CREATE TABLE links (
    link_id     uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants,
    campaign_id uuid NOT NULL REFERENCES campaigns,
    offer_id    int NOT NULL REFERENCES offers,
    slug        text NOT NULL UNIQUE CHECK (slug ~ '^[A-Za-z0-9_-]{1,64}$')
);
CREATE INDEX links_campaign ON links (campaign_id);
COMMENT ON TABLE links IS 'Smart links: a campaign''s way to an offer.';

CREATE TABLE widgets (
    widget_id   uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants,
    campaign_id uuid NOT NULL REFERENCES campaigns,
    config_json jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE widgets IS 'Embeddable widgets of a campaign.';

CREATE TABLE fraud_rule_sets (
    version      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    uuid REFERENCES tenants,
    effective_at timestamptz NOT NULL,
    rules        jsonb NOT NULL
);
COMMENT ON TABLE fraud_rule_sets IS
    'Fraud rules as data: a tenant''s own over the platform''s (tenant_id null). The version numbers all sets together.';

CREATE TABLE event_id_instances (
    instance     smallint PRIMARY KEY CHECK (instance BETWEEN 0 AND 1023),
    leased_until timestamptz NOT NULL,
    holder       text NOT NULL
);
COMMENT ON TABLE event_id_instances IS
    'Leases of the instance number inside event ids: two processes never draw the same id.';

GRANT SELECT ON tenants, tenant_versions, users, tenant_members, networks, offers, offer_versions,
    campaigns, campaign_versions, links, widgets, fraud_rule_sets
    TO hissaback_writer, hissaback_operator;
GRANT INSERT ON tenants, tenant_versions, users, tenant_members, networks, offers, offer_versions,
    campaigns, campaign_versions, links, widgets, fraud_rule_sets
    TO hissaback_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON event_id_instances TO hissaback_writer;
GRANT SELECT ON tenants, tenant_versions, offers, offer_versions, campaigns, campaign_versions,
    links, widgets
    TO hissaback_api;

-- Tenants see their own rows, and nothing when no tenant is set.
CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.tenant', true), '')::uuid;
CREATE FUNCTION current_app_user() RETURNS uuid LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.user', true), '')::uuid;

-- Puts a tenant table under row-level security: the writer and operators all rows, the API those
-- that `api_rows` allows.
CREATE FUNCTION isolate(table_name regclass, api_rows text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', table_name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', table_name);
    EXECUTE format(
        'CREATE POLICY all_rows ON %s TO hissaback_owner, hissaback_writer, hissaback_operator '
        'USING (true) WITH CHECK (true)', table_name);
    EXECUTE format(
        'CREATE POLICY own_rows ON %s TO hissaback_api USING (%s)', table_name, api_rows);
END $$;
REVOKE ALL ON FUNCTION isolate(regclass, text) FROM PUBLIC;

SELECT isolate(name::regclass, 'tenant_id = current_tenant()')
FROM unnest(ARRAY[
    'tenants', 'tenant_versions', 'tenant_members', 'campaigns', 'campaign_versions', 'links',
    'widgets'
]) AS name;
