-- The ledger: everything below is derived from the log, and can be rebuilt from it.

CREATE TABLE ledger_epoch (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    epoch      bigint NOT NULL,
    rebuilding boolean NOT NULL DEFAULT false
);
INSERT INTO ledger_epoch (epoch) VALUES (1);
COMMENT ON TABLE ledger_epoch IS 'New after a restore or a rebuild; stands in every outbox record.';
COMMENT ON COLUMN ledger_epoch.rebuilding IS
    'While true, the log holds more about payouts than these tables: nothing is published, cancelled or paid.';

CREATE TABLE consumer_positions (
    consumer    text NOT NULL,
    topic       text NOT NULL,
    partition   int NOT NULL,
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (consumer, topic, partition)
);
COMMENT ON TABLE consumer_positions IS
    'Where the ledger reads on. Advanced by compare-and-swap in the transaction of the rows: a stale consumer is fenced.';

CREATE TABLE positions_applied (
    source_partition int PRIMARY KEY,
    next_offset      bigint NOT NULL
);
CREATE TABLE positions_applied_beyond (
    source_partition int NOT NULL,
    source_offset    bigint NOT NULL,
    PRIMARY KEY (source_partition, source_offset)
);
COMMENT ON TABLE positions_applied IS
    'Per partition of conversions: all offsets below next_offset have been applied.';
COMMENT ON TABLE positions_applied_beyond IS
    'Offsets applied ahead of next_offset: a sparse set, normally empty.';

CREATE TABLE fold_locks (
    source_partition int PRIMARY KEY
);
COMMENT ON TABLE fold_locks IS
    'First class of the lock order: who changes a click holds the row of its conversions partition.';

CREATE TABLE healed_positions (
    source_partition int NOT NULL,
    source_offset    bigint NOT NULL,
    PRIMARY KEY (source_partition, source_offset)
);
COMMENT ON TABLE healed_positions IS 'Parked records that a heal was seen for; locked while heals compete.';

CREATE TABLE payee_locks (
    user_id uuid PRIMARY KEY
);
COMMENT ON TABLE payee_locks IS
    'Last class of the lock order: who changes what a user is owed or paid holds their row.';

CREATE TABLE clicks (
    click_id       bigint NOT NULL,
    clicked_at     timestamptz NOT NULL,
    received_at    timestamptz NOT NULL,
    tenant_id      uuid NOT NULL,
    campaign_id    uuid NOT NULL,
    link_id        uuid NOT NULL,
    offer_id       int NOT NULL,
    user_id        uuid,
    country        char(2),
    device         text NOT NULL,
    signals        int NOT NULL,
    address_hash   text,
    address_prefix text,
    referrer       text,
    origin         text NOT NULL,
    PRIMARY KEY (click_id, clicked_at)
) PARTITION BY RANGE (clicked_at);
CREATE INDEX clicks_link ON clicks (link_id);
COMMENT ON TABLE clicks IS 'Clicks on smart links, by month of the click.';

CREATE TABLE conversions (
    conv_id               bigint NOT NULL,
    source_partition      int NOT NULL,
    source_offset         bigint NOT NULL,
    click_id              bigint NOT NULL,
    clicked_at            timestamptz NOT NULL,
    tenant_id             uuid NOT NULL,
    user_id               uuid,
    network_id            int NOT NULL,
    offer_id              int NOT NULL,
    report_source         text NOT NULL,
    received_at           timestamptz NOT NULL,
    appended_at           timestamptz NOT NULL,
    as_of                 timestamptz,
    txn_id                text,
    goal_id               text,
    network_conversion_id text,
    network_status        text,
    order_value           numeric,
    payout                numeric,
    currency              char(3),
    score                 int NOT NULL,
    led_id                bigint,
    fate                  text NOT NULL CHECK (fate IN
                          ('ledgered', 'duplicate', 'update', 'repetition', 'undone')),
    heals_partition       int,
    heals_offset          bigint,
    decision              bytea NOT NULL,
    PRIMARY KEY (source_partition, source_offset, clicked_at)
) PARTITION BY RANGE (clicked_at);
CREATE INDEX conversions_click ON conversions (click_id);
CREATE INDEX conversions_conv ON conversions (conv_id);
CREATE INDEX conversions_heals ON conversions (heals_partition, heals_offset)
    WHERE heals_offset IS NOT NULL;
CREATE INDEX conversions_undone ON conversions (user_id, clicked_at) WHERE fate = 'undone';
COMMENT ON TABLE conversions IS
    'Reports of sales whose click is known, by month of the click. conv_id is the report''s event id; led_id the claim that it belongs to.';
COMMENT ON COLUMN conversions.decision IS 'The decisions record, as it stands in the log: what the fold reads.';

CREATE TABLE unmatched_conversions (
    source_partition int NOT NULL,
    source_offset    bigint NOT NULL,
    conv_id          bigint NOT NULL,
    received_at      timestamptz NOT NULL,
    network_id       int NOT NULL,
    click_id         bigint,
    reason           text NOT NULL,
    state            text NOT NULL CHECK (state IN
                     ('parked', 'ignored', 'dead_lettered', 'healed', 'discarded')),
    tries            int NOT NULL DEFAULT 0,
    next_try_at      timestamptz,
    decision         bytea NOT NULL,
    PRIMARY KEY (source_partition, source_offset)
);
CREATE INDEX unmatched_due ON unmatched_conversions (next_try_at) WHERE state = 'parked';
CREATE INDEX unmatched_click ON unmatched_conversions (click_id) WHERE state = 'parked';
COMMENT ON TABLE unmatched_conversions IS
    'Reports without a claim: click unknown (parked until it turns up), unusable (ignored), or unreadable (dead-lettered).';

CREATE TABLE orders (
    network_id int NOT NULL,
    offer_id   int NOT NULL,
    txn_id     text NOT NULL,
    PRIMARY KEY (network_id, offer_id, txn_id)
);
COMMENT ON TABLE orders IS 'Order numbers seen. Second class of the lock order: inserted, then locked.';

CREATE TABLE order_claims (
    network_id int NOT NULL,
    offer_id   int NOT NULL,
    txn_id     text NOT NULL,
    click_id   bigint NOT NULL,
    clicked_at timestamptz NOT NULL,
    PRIMARY KEY (network_id, offer_id, txn_id, click_id)
);
COMMENT ON TABLE order_claims IS
    'Every click whose reports ever named an order: its claimants. Who owns it is a fold over their reports.';

CREATE TABLE ledger (
    led_id              bigint NOT NULL,
    tenant_id           uuid NOT NULL,
    campaign_id         uuid NOT NULL,
    link_id             uuid NOT NULL,
    offer_id            int NOT NULL,
    network_id          int NOT NULL,
    click_id            bigint NOT NULL,
    clicked_at          timestamptz NOT NULL,
    user_id             uuid,
    country             char(2),
    txn_id              text,
    goal_id             text,
    first_received_at   timestamptz NOT NULL,
    converted_at        timestamptz NOT NULL,
    payable_at          timestamptz NOT NULL,
    status              text NOT NULL CHECK (status IN
                        ('pending', 'review', 'confirmed', 'rejected', 'paid', 'reversed')),
    reasons             text[] NOT NULL,
    order_owner         bigint,
    network_status      text,
    order_value         numeric,
    currency            char(3) NOT NULL,
    user_pct            numeric(5,2) NOT NULL,
    expected_commission numeric NOT NULL CHECK (expected_commission >= 0),
    expected_subsidy    numeric NOT NULL CHECK (expected_subsidy >= 0),
    expected_fee        numeric NOT NULL CHECK (expected_fee >= 0),
    user_amount         numeric NOT NULL CHECK (user_amount >= 0),
    creator_amount      numeric NOT NULL CHECK (creator_amount >= 0),
    posted_commission   numeric NOT NULL CHECK (posted_commission >= 0),
    posted_subsidy      numeric NOT NULL CHECK (posted_subsidy >= 0),
    posted_fee          numeric NOT NULL CHECK (posted_fee >= 0),
    posted_user         numeric NOT NULL CHECK (posted_user >= 0),
    posted_creator      numeric NOT NULL CHECK (posted_creator >= 0),
    paid_amount         numeric NOT NULL CHECK (paid_amount >= 0),
    PRIMARY KEY (led_id, tenant_id, clicked_at),
    CONSTRAINT expected_adds_up CHECK
        (user_amount + creator_amount + expected_fee = expected_commission + expected_subsidy),
    CONSTRAINT posted_adds_up CHECK
        (posted_user + posted_creator + posted_fee = posted_commission + posted_subsidy)
) PARTITION BY HASH (tenant_id);
CREATE TABLE ledger_h0 PARTITION OF ledger FOR VALUES WITH (MODULUS 4, REMAINDER 0)
    PARTITION BY RANGE (clicked_at);
CREATE TABLE ledger_h1 PARTITION OF ledger FOR VALUES WITH (MODULUS 4, REMAINDER 1)
    PARTITION BY RANGE (clicked_at);
CREATE TABLE ledger_h2 PARTITION OF ledger FOR VALUES WITH (MODULUS 4, REMAINDER 2)
    PARTITION BY RANGE (clicked_at);
CREATE TABLE ledger_h3 PARTITION OF ledger FOR VALUES WITH (MODULUS 4, REMAINDER 3)
    PARTITION BY RANGE (clicked_at);
CREATE INDEX ledger_click ON ledger (click_id);
CREATE INDEX ledger_user ON ledger (user_id, clicked_at);
CREATE INDEX ledger_status ON ledger (status);
COMMENT ON TABLE ledger IS
    'One row a claim: what we keep of one sale of one click. By tenant, then by quarter of the click.';
COMMENT ON COLUMN ledger.led_id IS 'The claim''s name: the conv_id of its lowest-ranked report.';
COMMENT ON COLUMN ledger.user_amount IS 'The shopper''s part by the terms; unclaimed where the click has no user.';

CREATE TABLE postings (
    posting_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id bigint NOT NULL,
    led_id         bigint,
    payout_id      uuid,
    tenant_id      uuid NOT NULL,
    account        text NOT NULL CHECK (account IN
                   ('network_receivable', 'user_payable', 'creator_payable', 'unclaimed',
                    'platform_revenue', 'promotion_expense', 'payout_clearing')),
    user_id        uuid,
    currency       char(3) NOT NULL,
    amount         numeric NOT NULL CHECK (amount <> 0),
    CONSTRAINT one_subject CHECK (num_nonnulls(led_id, payout_id) = 1)
);
CREATE INDEX postings_claim ON postings (led_id) WHERE led_id IS NOT NULL;
CREATE INDEX postings_payout ON postings (payout_id) WHERE payout_id IS NOT NULL;
CREATE SEQUENCE posting_transactions;
COMMENT ON TABLE postings IS
    'Append-only double entry. The lines of a transaction are inserted by one statement and sum to zero per currency.';
COMMENT ON COLUMN postings.led_id IS 'The claim''s name when it was posted; conversions.conv_id resolves it to today''s.';

CREATE FUNCTION postings_sum_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted GROUP BY transaction_id, currency HAVING sum(amount) <> 0
    ) THEN
        RAISE EXCEPTION 'postings of a transaction must sum to zero per currency'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER sum_to_zero AFTER INSERT ON postings
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION postings_sum_to_zero();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE commands (
    command_id       bigint PRIMARY KEY,
    source_partition int NOT NULL,
    source_offset    bigint NOT NULL,
    issued_at        timestamptz NOT NULL,
    author           text NOT NULL,
    reason           text NOT NULL,
    conv_id          bigint,
    body             bytea NOT NULL
);
CREATE INDEX commands_claim ON commands (conv_id) WHERE conv_id IS NOT NULL;
COMMENT ON TABLE commands IS
    'Operators'' decisions, kept on arrival whether or not their subject is known yet. conv_id is set where a claim is the subject.';

CREATE TABLE payouts (
    payout_id           uuid PRIMARY KEY,
    tenant_id           uuid NOT NULL,
    user_id             uuid NOT NULL,
    currency            char(3) NOT NULL,
    amount              numeric NOT NULL CHECK (amount > 0),
    method              text NOT NULL,
    as_of               timestamptz NOT NULL,
    creation_request_id text NOT NULL UNIQUE,
    request             bytea NOT NULL,
    state               text NOT NULL CHECK (state IN
                        ('queued', 'sending', 'cancelled', 'funded', 'error_soft', 'error_hard')),
    card_id             text,
    voucher_code        text CHECK (voucher_code IS NULL),
    paid_at             timestamptz
);
CREATE INDEX payouts_user ON payouts (user_id);
CREATE INDEX payouts_open ON payouts (state) WHERE state IN ('queued', 'sending', 'error_soft');
COMMENT ON TABLE payouts IS 'Payouts: one card, one request id for ever.';
COMMENT ON COLUMN payouts.voucher_code IS
    'Always null: the specification''s column. A claim code is never stored in the clear; payout_dispatch holds it sealed.';

CREATE TABLE payout_items (
    payout_id uuid NOT NULL REFERENCES payouts,
    tenant_id uuid NOT NULL,
    led_id    bigint NOT NULL,
    amount    numeric NOT NULL CHECK (amount > 0),
    PRIMARY KEY (payout_id, led_id)
);
CREATE INDEX payout_items_claim ON payout_items (led_id);
COMMENT ON TABLE payout_items IS
    'Which claims a payout pays, by their name when it was made. Items sum to the payout.';

CREATE TABLE payout_steps (
    source_partition int NOT NULL,
    source_offset    bigint NOT NULL,
    payout_id        uuid NOT NULL,
    step             text NOT NULL CHECK (step IN
                     ('sending', 'cancelled', 'funded', 'error_soft', 'error_hard')),
    at               timestamptz NOT NULL,
    attempt          int NOT NULL,
    detail           text,
    card_id          text,
    PRIMARY KEY (source_partition, source_offset)
);
CREATE INDEX payout_steps_payout ON payout_steps (payout_id);
COMMENT ON TABLE payout_steps IS 'Steps of payouts as read back from the log, whether or not their payout was read yet.';

CREATE TABLE outbox (
    sequence       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch          bigint NOT NULL,
    topic          text NOT NULL,
    key            bytea NOT NULL,
    value          bytea NOT NULL,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE outbox IS
    'Records on their way to the log. The relay publishes in order, skips nothing that a running transaction may still write, and deletes after the delivery report.';

CREATE TABLE audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    author   text NOT NULL,
    action   text NOT NULL,
    subject  text NOT NULL,
    detail   jsonb NOT NULL DEFAULT '{}'
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE audit_log IS 'What operators did. Insert only.';

-- Attaching, unlike making a partition in place, waits for no reader or writer of the parent and
-- keeps none waiting.
CREATE FUNCTION add_partition(
    parent text, child text, from_time timestamptz, to_time timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
        child, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        parent, child, from_time, to_time);
END $$;
REVOKE ALL ON FUNCTION add_partition(text, text, timestamptz, timestamptz) FROM PUBLIC;

-- Makes the partitions that a span of click times needs: months of clicks and conversions,
-- quarters of the ledger. Safe from several sessions at once.
CREATE FUNCTION ensure_partitions(from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public SET timezone = 'UTC' AS $$
DECLARE
    start_at timestamptz;
    parent   text;
    child    text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('hissaback.ensure_partitions'));
    FOR start_at IN
        SELECT generate_series(date_trunc('month', from_time), to_time, '1 month')
    LOOP
        FOREACH parent IN ARRAY ARRAY['clicks', 'conversions'] LOOP
            child := parent || to_char(start_at, '_YYYY_MM');
            IF to_regclass(child) IS NULL THEN
                PERFORM add_partition(parent, child, start_at, start_at + interval '1 month');
            END IF;
        END LOOP;
    END LOOP;
    FOR start_at IN
        SELECT generate_series(date_trunc('quarter', from_time), to_time, '3 months')
    LOOP
        FOR remainder IN 0..3 LOOP
            parent := 'ledger_h' || remainder;
            child := parent || to_char(start_at, '_YYYY"q"Q');
            IF to_regclass(child) IS NULL THEN
                PERFORM add_partition(parent, child, start_at, start_at + interval '3 months');
            END IF;
        END LOOP;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION ensure_partitions(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions(timestamptz, timestamptz) TO hissaback_writer;

GRANT SELECT, INSERT, UPDATE, DELETE ON
    ledger_epoch, consumer_positions, positions_applied, positions_applied_beyond, fold_locks,
    healed_positions, payee_locks, clicks, conversions, unmatched_conversions, orders,
    order_claims, ledger, commands, payouts, payout_items, payout_steps, outbox
    TO hissaback_writer;
GRANT SELECT, INSERT ON postings, audit_log TO hissaback_writer;
GRANT USAGE ON SEQUENCE posting_transactions, outbox_sequence_seq TO hissaback_writer;
GRANT SELECT ON
    ledger_epoch, consumer_positions, positions_applied, positions_applied_beyond, clicks,
    conversions, unmatched_conversions, orders, order_claims, ledger, postings, commands, payouts,
    payout_items, payout_steps, outbox, audit_log
    TO hissaback_operator;
GRANT INSERT ON audit_log TO hissaback_operator;
GRANT SELECT ON clicks, conversions, ledger, postings, payouts, payout_items TO hissaback_api;

-- Creators see their tenant's rows, shoppers their own.
SELECT isolate(name::regclass, 'tenant_id = current_tenant() OR user_id = current_app_user()')
FROM unnest(ARRAY['clicks', 'conversions', 'ledger', 'postings', 'payouts']) AS name;
SELECT isolate('payout_items', 'tenant_id = current_tenant()');
