-- Who may see and change what, to the column; contacts sealed; people erased; old months retired;
-- and what contradicts what is kept. The grants as a list, and a walk over all of them:
-- sinks/tests/ledger/walk.

-- Functions are nobody's either, unless granted.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT EXECUTE ON FUNCTION current_tenant(), current_app_user() TO hissaback_api;
-- A definer's function must not find a caller's temporary table before ours.
ALTER FUNCTION ensure_partitions(timestamptz, timestamptz) SET search_path = public, pg_temp;

-- As before, and analysts read all rows (of the columns granted to them).
CREATE OR REPLACE FUNCTION isolate(table_name regclass, api_rows text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', table_name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', table_name);
    EXECUTE format(
        'CREATE POLICY all_rows ON %s TO hissaback_owner, hissaback_writer, hissaback_operator '
        'USING (true) WITH CHECK (true)', table_name);
    EXECUTE format(
        'CREATE POLICY analysed_rows ON %s FOR SELECT TO hissaback_analyst USING (true)',
        table_name);
    EXECUTE format(
        'CREATE POLICY own_rows ON %s FOR SELECT TO hissaback_api USING (%s)',
        table_name, api_rows);
END $$;

DO $$
DECLARE
    name      regclass;
    condition text;
BEGIN
    FOR name, condition IN
        SELECT polrelid::regclass, pg_get_expr(polqual, polrelid)
        FROM pg_policy WHERE polname = 'own_rows'
    LOOP
        EXECUTE format('DROP POLICY all_rows ON %s', name);
        EXECUTE format('DROP POLICY own_rows ON %s', name);
        PERFORM isolate(name, condition);
    END LOOP;
END $$;

-- The platform's own sets are shown to nobody but us.
SELECT isolate('fraud_rule_sets', 'tenant_id = current_tenant()');

-- A partition has no policy: whoever goes round its parent finds nothing, granted or not.
CREATE OR REPLACE FUNCTION add_partition(
    parent text, child text, from_time timestamptz, to_time timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
        child, parent);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', child);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', child);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        parent, child, from_time, to_time);
END $$;

DO $$
DECLARE
    child regclass;
BEGIN
    FOR child IN
        SELECT oid FROM pg_class
        WHERE relispartition AND relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', child);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', child);
    END LOOP;
END $$;

-- Contacts: sealed by the program, compared by keyed hash. Nothing was released with them in the
-- clear, so the plain columns go at once.
ALTER TABLE users
    DROP COLUMN phone,
    DROP COLUMN email,
    ADD COLUMN phone_sealed bytea,
    ADD COLUMN email_sealed bytea,
    ADD COLUMN erased_at    timestamptz,
    ADD CONSTRAINT erased_is_empty CHECK (
        erased_at IS NULL
        OR num_nonnulls(phone_sealed, email_sealed, phone_hash, email_hash, kyc_hash) = 0);
CREATE INDEX users_erased ON users (user_id) WHERE erased_at IS NOT NULL;
COMMENT ON TABLE users IS
    'People. Phone and e-mail live here only, sealed; everything else knows people by user_id, and compares contacts by keyed hash.';
COMMENT ON COLUMN users.phone_sealed IS 'The phone number, where gift-card codes are sent: key id (4 bytes), nonce (24), XChaCha20-Poly1305 bound to the person and the field.';
COMMENT ON COLUMN users.email_sealed IS 'The e-mail address, sealed likewise.';
COMMENT ON COLUMN users.kyc_hash IS 'Hash of the person''s identity check; null until it was made.';
COMMENT ON COLUMN users.created_at IS 'When the person was added.';
COMMENT ON COLUMN users.erased_at IS 'When they were erased: the row stays, empty, so that nothing pays or contacts them, and no import brings them back.';
-- The API is granted nothing here; the policy stands in case it ever is.
SELECT isolate('users', 'user_id = current_app_user()');

-- What contradicts what is kept is kept beside it, and never folded.
CREATE TABLE conflicts (
    conflict_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('decision', 'click', 'command')),
    key         text NOT NULL,
    refused     jsonb NOT NULL,
    noticed_at  timestamptz NOT NULL DEFAULT now()
);
-- A record that comes again is one conflict.
CREATE UNIQUE INDEX conflicts_once ON conflicts (kind, key, md5(refused::text));
COMMENT ON TABLE conflicts IS
    'Records that say otherwise than the one kept under the same key. The first one counts; each of these is a defect to be explained.';
COMMENT ON COLUMN conflicts.kind IS 'decision: another outcome for a report. click: other facts under a click''s id and time. command: another body under a command''s id.';
COMMENT ON COLUMN conflicts.key IS 'Position of the report, click id, or command id.';
COMMENT ON COLUMN conflicts.refused IS 'The record that was not taken, without addresses.';
COMMENT ON COLUMN conflicts.noticed_at IS 'When the ledger first read it.';

-- Old reports. What their claims came to stays in ledger, postings and payouts, which are never
-- retired; these rows keep what those still refer to.
CREATE TABLE retired_reports (
    conv_id          bigint NOT NULL,
    source_partition int NOT NULL,
    source_offset    bigint NOT NULL,
    click_id         bigint NOT NULL,
    clicked_at       timestamptz NOT NULL,
    tenant_id        uuid NOT NULL,
    user_id          uuid,
    led_id           bigint,
    fate             text NOT NULL,
    heals_partition  int,
    heals_offset     bigint,
    PRIMARY KEY (source_partition, source_offset)
);
CREATE INDEX retired_reports_conv ON retired_reports (conv_id);
CREATE INDEX retired_reports_click ON retired_reports (click_id);
COMMENT ON TABLE retired_reports IS
    'Reports past their period: their names, positions and fates, and nothing of what they said.';
COMMENT ON COLUMN retired_reports.led_id IS 'The claim that it belonged to when it was retired: it stays so.';
COMMENT ON COLUMN retired_reports.fate IS 'As in conversions.';
COMMENT ON COLUMN retired_reports.heals_partition IS 'As in conversions, with heals_offset.';
SELECT isolate('retired_reports', 'tenant_id = current_tenant()');

CREATE VIEW reports WITH (security_invoker = true) AS
    SELECT conv_id, source_partition, source_offset, click_id, clicked_at, tenant_id, user_id,
           led_id, fate, heals_partition, heals_offset FROM conversions
    UNION ALL
    SELECT conv_id, source_partition, source_offset, click_id, clicked_at, tenant_id, user_id,
           led_id, fate, heals_partition, heals_offset FROM retired_reports;
COMMENT ON VIEW reports IS 'Reports of sales whose click is known, those past their period included.';

ALTER TABLE ledger_epoch ADD COLUMN reports_retired_before timestamptz;
COMMENT ON COLUMN ledger_epoch.epoch IS 'Counts from 1.';
COMMENT ON COLUMN ledger_epoch.reports_retired_before IS 'Claims on clicks before it are final: their reports are retired, no record moves them, and what part of a unit they are still owed is paid no more. Null: none are.';

-- Detached months, until they are dropped.
CREATE SCHEMA retired;
REVOKE ALL ON SCHEMA retired FROM PUBLIC;
COMMENT ON SCHEMA retired IS 'Detached months, until they are dropped: nobody''s but the owner''s.';

-- Claims on clicks before an instant that keep their reports: undecided, owed a whole unit or more,
-- or in a payout that isn't through. Their number, and the first of their clicks.
CREATE FUNCTION unsettled_claims_before(before_time timestamptz)
RETURNS TABLE (claims bigint, first_clicked_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH unpaid AS (
        SELECT i.led_id AS conv_id FROM payouts p JOIN payout_items i USING (payout_id)
        WHERE p.state NOT IN ('cancelled', 'funded')
           OR (p.state = 'funded' AND NOT EXISTS (
               SELECT FROM payout_steps s
               WHERE s.payout_id = p.payout_id AND s.step = 'funded'))),
    unsettled AS (
        SELECT l.led_id, l.clicked_at FROM ledger l
        WHERE l.clicked_at < before_time
          AND (l.status IN ('pending', 'review')
               OR (l.posted_user - l.paid_amount >= 1 AND l.user_id IS NOT NULL
                   AND NOT EXISTS (SELECT FROM users u
                                   WHERE u.user_id = l.user_id AND u.erased_at IS NOT NULL)))
        UNION
        SELECT c.led_id, c.clicked_at FROM unpaid JOIN conversions c USING (conv_id)
        WHERE c.clicked_at < before_time AND c.led_id IS NOT NULL)
    SELECT count(*), min(clicked_at) FROM unsettled
$$;

-- Makes claims on clicks before this instant final, as far as they are settled: a month stays
-- open, and those after it, while one of its claims isn't. Gives the instant that holds from now on.
CREATE FUNCTION retire_reports_before(before_time timestamptz) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    open_month timestamptz;
    final      timestamptz;
BEGIN
    -- Every batch of the ledger and every payment shares this lock: none is under way.
    PERFORM pg_advisory_xact_lock(hashtext('hissaback.ledger.names'));
    IF (SELECT rebuilding FROM ledger_epoch) THEN
        RAISE EXCEPTION 'the ledger is being rebuilt'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT date_trunc('month', first_clicked_at) INTO open_month
    FROM unsettled_claims_before(before_time);
    UPDATE ledger_epoch SET reports_retired_before = greatest(
        reports_retired_before, least(date_trunc('month', before_time), open_month))
    RETURNING reports_retired_before INTO final;
    RETURN final;
END $$;

-- Takes a month of clicks or conversions that ends no later than this instant out of its table.
-- The parent is locked for the moment of detaching, not while the month is dropped.
CREATE FUNCTION detach_month(child text, before_time timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    parent   text := substring(child FROM '^(clicks|conversions)_\d{4}_\d{2}$');
    start_at timestamptz;
    end_at   timestamptz;
BEGIN
    IF parent IS NULL OR NOT EXISTS (
        SELECT FROM pg_inherits
        WHERE inhrelid = to_regclass(format('public.%I', child))
          AND inhparent = to_regclass(format('public.%I', parent))
    ) THEN
        RAISE EXCEPTION '% is no month of clicks or conversions', child
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    start_at := to_timestamp(right(child, 7), 'YYYY_MM');
    end_at := start_at + interval '1 month';
    IF end_at > before_time THEN
        RAISE EXCEPTION '% is not past its period', child
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF parent = 'conversions' THEN
        IF end_at <= (SELECT reports_retired_before FROM ledger_epoch) IS NOT TRUE THEN
            RAISE EXCEPTION 'claims of % are not final', child
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        INSERT INTO retired_reports
        SELECT conv_id, source_partition, source_offset, click_id, clicked_at, tenant_id, user_id,
               led_id, fate, heals_partition, heals_offset
        FROM conversions WHERE clicked_at >= start_at AND clicked_at < end_at;
    END IF;
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, child);
    EXECUTE format('ALTER TABLE %I SET SCHEMA retired', child);
END $$;

-- Drops the detached months, and names them.
CREATE FUNCTION drop_detached_months() RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    child text;
BEGIN
    FOR child IN
        SELECT relname FROM pg_class
        WHERE relnamespace = 'retired'::regnamespace AND relkind = 'r' ORDER BY relname
    LOOP
        EXECUTE format('DROP TABLE retired.%I', child);
        RETURN NEXT child;
    END LOOP;
END $$;

-- Removes what is known of a person, and gives the rows that changed. What they bought, were owed
-- and were paid stays, under an id that leads to nobody. Refuses while a payout of theirs is open,
-- unless told not to.
CREATE FUNCTION erase_user(erased uuid, despite_open_payouts boolean)
RETURNS TABLE (users_changed bigint, messages_changed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- The payee's lock: no payout run and no batch of the ledger looks at them meanwhile.
    INSERT INTO payee_locks VALUES (erased) ON CONFLICT DO NOTHING;
    PERFORM FROM payee_locks WHERE user_id = erased FOR UPDATE;
    PERFORM FROM users WHERE user_id = erased FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no user %', erased USING ERRCODE = 'no_data_found';
    END IF;
    IF NOT despite_open_payouts AND EXISTS (
        SELECT FROM payouts p LEFT JOIN payout_dispatch d USING (payout_id)
        WHERE p.user_id = erased
          AND (p.state NOT IN ('cancelled', 'funded')
               OR (p.state = 'funded' AND d.sms_state = 'due'))
    ) THEN
        RAISE EXCEPTION 'a payout of % is open', erased USING ERRCODE = 'object_in_use';
    END IF;
    UPDATE users SET phone_sealed = NULL, email_sealed = NULL, phone_hash = NULL,
                     email_hash = NULL, kyc_hash = NULL, erased_at = now()
    WHERE user_id = erased AND erased_at IS NULL;
    GET DIAGNOSTICS users_changed = ROW_COUNT;
    UPDATE payout_dispatch d
    SET claim_code_key_id = NULL, claim_code_nonce = NULL, claim_code_ciphertext = NULL,
        sms_next_attempt_at = NULL,
        sms_state = CASE WHEN sms_state IN ('due', 'no_phone') THEN 'failed' ELSE sms_state END,
        sms_error = CASE WHEN sms_state IN ('due', 'no_phone', 'failed')
                         THEN 'the shopper was erased' ELSE sms_error END
    FROM payouts p
    WHERE p.payout_id = d.payout_id AND p.user_id = erased
      AND (d.claim_code_ciphertext IS NOT NULL OR d.sms_next_attempt_at IS NOT NULL
           OR d.sms_state IN ('due', 'no_phone'));
    GET DIAGNOSTICS messages_changed = ROW_COUNT;
    RETURN NEXT;
END $$;

-- The second half, which reads every click and so holds no lock that others wait for.
CREATE FUNCTION erase_addresses(erased uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    clicks_changed bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM users WHERE user_id = erased AND erased_at IS NOT NULL) THEN
        RAISE EXCEPTION '% is not erased', erased USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE clicks SET address_hash = NULL, address_prefix = NULL
    WHERE user_id = erased AND num_nonnulls(address_hash, address_prefix) > 0;
    GET DIAGNOSTICS clicks_changed = ROW_COUNT;
    RETURN clicks_changed;
END $$;

GRANT EXECUTE ON FUNCTION
    ensure_partitions(timestamptz, timestamptz), unsettled_claims_before(timestamptz),
    retire_reports_before(timestamptz),
    detach_month(text, timestamptz), drop_detached_months(), erase_user(uuid, boolean),
    erase_addresses(uuid)
    TO hissaback_operator;

GRANT SELECT, INSERT ON conflicts TO hissaback_writer;
GRANT SELECT, DELETE ON retired_reports TO hissaback_writer;
GRANT SELECT ON reports TO hissaback_writer, hissaback_operator;
GRANT SELECT ON conflicts, retired_reports TO hissaback_operator;

-- Grants all columns of a table but some, which a later column isn't part of either.
CREATE FUNCTION grant_columns_but(table_name regclass, role_name text, hidden text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    shown text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO shown FROM pg_attribute
    WHERE attrelid = table_name AND attnum > 0 AND NOT attisdropped AND attname <> ALL (hidden);
    EXECUTE format('REVOKE SELECT ON %s FROM %I', table_name, role_name);
    EXECUTE format('GRANT SELECT (%s) ON %s TO %I', shown, table_name, role_name);
END $$;

-- What comes of another tenant's rows is shown to the API as that, and never by name. Who shared an
-- address, what exactly was sent to the gift-card service, and the raw decisions are for operators.
SELECT grant_columns_but('ledger', 'hissaback_api', '{order_owner}');
SELECT grant_columns_but('clicks', 'hissaback_api', '{address_hash,address_prefix}');
SELECT grant_columns_but('conversions', 'hissaback_api', '{decision}');
SELECT grant_columns_but('payouts', 'hissaback_api', '{request,creation_request_id,voucher_code}');

-- The sinks need a number to send codes to, and hashes to compare; not the e-mail address.
SELECT grant_columns_but('users', 'hissaback_writer', '{email_sealed}');
SELECT grant_columns_but('users', 'hissaback_operator', '{phone_sealed,email_sealed}');
-- Who keys a network's postbacks: stages need the hash of its token, people don't.
SELECT grant_columns_but('networks', 'hissaback_analyst', '{security_token_sha256}');

-- Analysts: what happened and what it came to; nobody's contacts, addresses, codes or raw records,
-- and nothing that an operator wrote by hand.
GRANT SELECT ON
    tenants, tenant_versions, offers, offer_versions, offer_goal_rates, campaigns,
    campaign_versions, links, widgets, fraud_rule_sets, commission_overrides, commission_rule_sets,
    tenant_locks, ledger, postings, payout_items, retired_reports, reports
    TO hissaback_analyst;
SELECT grant_columns_but('users', 'hissaback_analyst',
    '{phone_sealed,email_sealed,phone_hash,email_hash,kyc_hash}');
SELECT grant_columns_but('clicks', 'hissaback_analyst', '{address_hash,address_prefix,referrer}');
SELECT grant_columns_but('conversions', 'hissaback_analyst', '{decision}');
SELECT grant_columns_but('unmatched_conversions', 'hissaback_analyst', '{decision}');
SELECT grant_columns_but('payouts', 'hissaback_analyst',
    '{request,creation_request_id,voucher_code,card_id}');
DROP FUNCTION grant_columns_but(regclass, text, text[]);

-- Comments that were missing.
COMMENT ON COLUMN tenants.name IS 'As people know it.';
COMMENT ON COLUMN tenants.logo_url IS 'Picture of the tenant.';
COMMENT ON COLUMN audit_log.author IS 'Who: a person''s name, or schedule.';
COMMENT ON COLUMN audit_log.action IS 'What was done.';
COMMENT ON COLUMN audit_log.subject IS 'To what: an id, never a contact.';
COMMENT ON COLUMN audit_log.detail IS 'Its figures and its reason.';
COMMENT ON COLUMN networks.name IS 'As people know it.';
COMMENT ON COLUMN offers.brand IS 'Whose goods are sold.';
COMMENT ON COLUMN offers.category IS 'What is sold; commission rules and people choose by it.';
COMMENT ON COLUMN campaigns.name IS 'As its tenant calls it.';
COMMENT ON COLUMN widgets.widget_id IS 'UUID of the widget.';
COMMENT ON COLUMN widgets.config_json IS 'How it looks: nothing that the ledger reads.';
COMMENT ON COLUMN fraud_rule_sets.version IS 'Pinned in each decision.';
COMMENT ON COLUMN event_id_instances.instance IS 'The number inside event ids.';
COMMENT ON COLUMN consumer_positions.consumer IS 'Who reads: ledger.';
COMMENT ON COLUMN consumer_positions.topic IS 'Of the log.';
COMMENT ON COLUMN consumer_positions.partition IS 'Of the topic.';
COMMENT ON COLUMN positions_applied.next_offset IS 'Every offset below it is applied.';
COMMENT ON COLUMN ledger.posted_subsidy IS 'As posted_commission.';
COMMENT ON COLUMN ledger.posted_fee IS 'As posted_commission.';
COMMENT ON COLUMN ledger.posted_creator IS 'As posted_commission.';
COMMENT ON COLUMN postings.posting_id IS 'Number of the line.';
COMMENT ON COLUMN commands.command_id IS 'Drawn from the same sequence as event ids.';
COMMENT ON COLUMN commands.author IS 'Who decided.';
COMMENT ON COLUMN commands.reason IS 'Why, in their words.';
COMMENT ON COLUMN payout_steps.step IS 'What became of the payout.';
COMMENT ON COLUMN payout_steps.at IS 'When, by the clock of who wrote the step.';
COMMENT ON COLUMN payout_steps.card_id IS 'The rail''s own id of the card, on funded.';
COMMENT ON COLUMN outbox.topic IS 'Where the record goes.';
COMMENT ON COLUMN outbox.key IS 'Its key in the log.';
COMMENT ON COLUMN outbox.value IS 'Its bytes in the log.';
COMMENT ON COLUMN audit_log.audit_id IS 'Number of the entry.';
COMMENT ON COLUMN audit_log.at IS 'When it was written.';
COMMENT ON COLUMN payout_dispatch.sms_attempts IS 'How often its message was tried.';
COMMENT ON COLUMN payout_dispatch.sms_error IS 'Why the last try failed; never a number or a code.';
COMMENT ON COLUMN payout_dispatch.released_command_id IS 'See released_issued_at.';
COMMENT ON COLUMN payout_channels.channel IS 'The rail, such as agcod.';
COMMENT ON COLUMN payout_channels.switched_command_id IS 'See switched_issued_at.';
COMMENT ON COLUMN analytics_positions.topic IS 'Of the log.';
COMMENT ON COLUMN analytics_positions.partition IS 'Of the topic.';
COMMENT ON COLUMN conflicts.conflict_id IS 'Number of the conflict.';
COMMENT ON COLUMN retired_reports.heals_offset IS 'As in conversions.';
