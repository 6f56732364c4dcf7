-- The original stack's tables, as the specification lays them out, with the promises that Hissaback's
-- tables make: a report is kept once, a claim has one row, an order one owner, a transaction's postings
-- sum to zero and stay. Amounts are whole minor units (paise).

CREATE TABLE tenants (
    tenant_id uuid PRIMARY KEY,
    name      text NOT NULL
);

CREATE TABLE offers (
    offer_id              int PRIMARY KEY,
    brand                 text NOT NULL,
    currency              char(3) NOT NULL,
    commission_hundredths int NOT NULL CHECK (commission_hundredths BETWEEN 0 AND 10000),
    cool_off_days         int NOT NULL DEFAULT 30
);
COMMENT ON COLUMN offers.commission_hundredths IS 'Hundredths of a per cent of the sale.';

CREATE TABLE campaigns (
    campaign_id      uuid PRIMARY KEY,
    tenant_id        uuid NOT NULL REFERENCES tenants,
    share_hundredths int NOT NULL CHECK (share_hundredths BETWEEN 0 AND 10000)
);
CREATE INDEX campaigns_tenant ON campaigns (tenant_id);

CREATE TABLE links (
    link_id     uuid PRIMARY KEY,
    slug        text NOT NULL UNIQUE,
    campaign_id uuid NOT NULL REFERENCES campaigns,
    offer_id    int NOT NULL REFERENCES offers
);

CREATE SEQUENCE intake_instances;

CREATE TABLE clicks (
    click_id   bigint PRIMARY KEY,
    link_id    uuid NOT NULL,
    user_id    uuid,
    country    char(2),
    user_agent text,
    created_at timestamptz NOT NULL
);
CREATE INDEX clicks_link ON clicks (link_id);

-- Every report of a sale whose click is known. conv_id is drawn at the intake: a message that is
-- delivered again finds it here.
CREATE TABLE conversions (
    conv_id     bigint PRIMARY KEY,
    click_id    bigint NOT NULL,
    txn_id      text NOT NULL,
    status      text NOT NULL,
    order_value bigint,
    query       text NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX conversions_click ON conversions (click_id);

CREATE TABLE unmatched_conversions (
    conv_id     bigint PRIMARY KEY,
    reason      text NOT NULL,
    query       text NOT NULL,
    received_at timestamptz NOT NULL
);

-- Who owns an order: the first claim that is booked for it, for 30 days.
CREATE TABLE orders (
    offer_id    int NOT NULL,
    txn_id      text NOT NULL,
    click_id    bigint NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (offer_id, txn_id)
);

-- One row for one sale of one click.
CREATE TABLE ledger (
    led_id              bigint PRIMARY KEY,
    tenant_id           uuid NOT NULL,
    campaign_id         uuid NOT NULL,
    offer_id            int NOT NULL,
    click_id            bigint NOT NULL,
    user_id             uuid,
    txn_id              text NOT NULL,
    status              text NOT NULL CHECK (status IN
                        ('pending', 'confirmed', 'rejected', 'reversed')),
    reason              text,
    ranked_at           timestamptz NOT NULL,
    payable_at          timestamptz NOT NULL,
    order_value         bigint,
    currency            char(3) NOT NULL,
    expected_commission bigint NOT NULL CHECK (expected_commission >= 0),
    user_amount         bigint NOT NULL CHECK (user_amount >= 0),
    creator_amount      bigint NOT NULL CHECK (creator_amount >= 0),
    posted_commission   bigint NOT NULL CHECK (posted_commission >= 0),
    posted_user         bigint NOT NULL CHECK (posted_user >= 0),
    posted_creator      bigint NOT NULL CHECK (posted_creator >= 0),
    UNIQUE (click_id, txn_id),
    CONSTRAINT expected_adds_up CHECK (user_amount + creator_amount = expected_commission),
    CONSTRAINT posted_adds_up CHECK (posted_user + posted_creator = posted_commission)
);
CREATE INDEX ledger_status ON ledger (status);
CREATE INDEX ledger_user ON ledger (user_id);
COMMENT ON COLUMN ledger.led_id IS 'The conv_id of the report that was booked first.';
COMMENT ON COLUMN ledger.ranked_at IS 'Receipt of the report that the row says: an earlier one doesn''t change it.';

CREATE TABLE postings (
    posting_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id bigint NOT NULL,
    led_id         bigint NOT NULL,
    tenant_id      uuid NOT NULL,
    account        text NOT NULL CHECK (account IN
                   ('network_receivable', 'user_payable', 'creator_payable', 'unclaimed')),
    user_id        uuid,
    currency       char(3) NOT NULL,
    amount         bigint NOT NULL CHECK (amount <> 0)
);
CREATE INDEX postings_claim ON postings (led_id);
CREATE SEQUENCE posting_transactions;

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

-- The hundredths of a per cent of an amount, rounded half to even.
CREATE FUNCTION part_of(amount bigint, hundredths int) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN amount * hundredths / 10000 + CASE
        WHEN amount * hundredths % 10000 > 5000 THEN 1
        WHEN amount * hundredths % 10000 = 5000 THEN amount * hundredths / 10000 % 2
        ELSE 0
    END;

-- Keeps reports, each once, whatever is delivered how often: those of unknown clicks apart.
CREATE FUNCTION keep_reports(
    conv_ids bigint[], click_ids bigint[], txn_ids text[], statuses text[], order_values bigint[],
    queries text[], receipts timestamptz[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH given AS MATERIALIZED (
        SELECT g.*, EXISTS (SELECT FROM clicks c WHERE c.click_id = g.click_id) AS known
        FROM unnest(conv_ids, click_ids, txn_ids, statuses, order_values, queries, receipts)
             AS g (conv_id, click_id, txn_id, status, order_value, query, received_at)
    ), parked AS (
        INSERT INTO unmatched_conversions (conv_id, reason, query, received_at)
        SELECT conv_id, 'unknown_click', query, received_at FROM given WHERE NOT known
        ON CONFLICT DO NOTHING
    )
    INSERT INTO conversions (conv_id, click_id, txn_id, status, order_value, query, received_at)
    SELECT conv_id, click_id, txn_id, status, order_value, query, received_at
    FROM given WHERE known
    ON CONFLICT DO NOTHING;
END $$;

-- Books claims, each at most once in a call: joins the click and its terms, asks who owns the order,
-- splits the commission, and posts the difference between what is owed and what is booked. What comes
-- of a claim depends on what is given only, and not on how often it is.
CREATE FUNCTION book_claims(
    led_ids bigint[], click_ids bigint[], txn_ids text[], statuses text[], order_values bigint[],
    receipts timestamptz[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known int;
    made  int;
BEGIN
    -- In the order of their keys, so that two workers never wait for each other.
    INSERT INTO orders (offer_id, txn_id, click_id, received_at)
    SELECT DISTINCT ON (l.offer_id, g.txn_id) l.offer_id, g.txn_id, g.click_id, g.received_at
    FROM unnest(click_ids, txn_ids, receipts) AS g (click_id, txn_id, received_at)
    JOIN clicks c USING (click_id)
    JOIN links l USING (link_id)
    WHERE g.txn_id <> ''
    ORDER BY l.offer_id, g.txn_id, g.received_at
    ON CONFLICT (offer_id, txn_id) DO UPDATE
        SET click_id = excluded.click_id, received_at = excluded.received_at
        WHERE excluded.received_at >= orders.received_at + interval '30 days';

    WITH terms AS (
        SELECT g.*, c.user_id, ca.tenant_id, ca.campaign_id, ca.share_hundredths, o.offer_id,
               o.currency, o.cool_off_days,
               part_of(coalesce(g.order_value, 0), o.commission_hundredths) AS commission,
               coalesce(w.click_id <> g.click_id, false) AS duplicate
        FROM unnest(led_ids, click_ids, txn_ids, statuses, order_values, receipts)
             AS g (led_id, click_id, txn_id, status, order_value, received_at)
        JOIN clicks c USING (click_id)
        JOIN links l USING (link_id)
        JOIN campaigns ca USING (campaign_id)
        JOIN offers o ON o.offer_id = l.offer_id
        LEFT JOIN orders w ON w.offer_id = l.offer_id AND w.txn_id = g.txn_id
    ), split AS (
        SELECT t.*, part_of(commission, share_hundredths) AS user_part,
               CASE WHEN duplicate THEN 'rejected'
                    WHEN status = 'approved' THEN 'confirmed'
                    WHEN status IN ('cancelled', 'rejected') THEN 'rejected'
                    ELSE 'pending' END AS standing
        FROM terms t
    ), booked AS (
        INSERT INTO ledger (
            led_id, tenant_id, campaign_id, offer_id, click_id, user_id, txn_id, status, reason,
            ranked_at, payable_at, order_value, currency, expected_commission, user_amount,
            creator_amount, posted_commission, posted_user, posted_creator
        )
        SELECT led_id, tenant_id, campaign_id, offer_id, click_id, user_id, txn_id, standing,
               CASE WHEN duplicate THEN 'duplicate_order' END, received_at,
               received_at + make_interval(days => cool_off_days), order_value, currency,
               commission, user_part, commission - user_part,
               CASE standing WHEN 'confirmed' THEN commission ELSE 0 END,
               CASE standing WHEN 'confirmed' THEN user_part ELSE 0 END,
               CASE standing WHEN 'confirmed' THEN commission - user_part ELSE 0 END
        FROM split
        ORDER BY click_id, txn_id
        ON CONFLICT (click_id, txn_id) DO NOTHING
        RETURNING *
    ), numbered AS (
        SELECT nextval('posting_transactions') AS transaction_id, b.*
        FROM booked b WHERE posted_commission > 0
    ), posted AS (
        INSERT INTO postings (transaction_id, led_id, tenant_id, account, user_id, currency, amount)
        SELECT transaction_id, led_id, tenant_id, account, user_id, currency, amount
        FROM numbered, LATERAL (VALUES
            ('network_receivable', -posted_commission),
            (CASE WHEN user_id IS NULL THEN 'unclaimed' ELSE 'user_payable' END, posted_user),
            ('creator_payable', posted_creator)) AS lines (account, amount)
        WHERE amount <> 0
    )
    SELECT (SELECT count(*) FROM terms), (SELECT count(*) FROM booked) INTO known, made;

    IF made < known THEN
        PERFORM amend_claims(click_ids, txn_ids, statuses, order_values, receipts);
    END IF;
END $$;

-- Moves claims that have a row already. A report that was received before the one that the row says
-- changes nothing, and neither does one that says "pending" after a decision.
CREATE FUNCTION amend_claims(
    click_ids bigint[], txn_ids text[], statuses text[], order_values bigint[], receipts timestamptz[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH locked AS MATERIALIZED (
        SELECT d.*, g.status AS said, g.received_at AS said_at,
               coalesce(g.order_value, d.order_value) AS said_value
        FROM ledger d
        JOIN unnest(click_ids, txn_ids, statuses, order_values, receipts)
             AS g (click_id, txn_id, status, order_value, received_at) USING (click_id, txn_id)
        ORDER BY d.click_id, d.txn_id
        FOR UPDATE OF d
    ), folded AS (
        SELECT k.*, ca.share_hundredths,
               part_of(coalesce(said_value, 0), o.commission_hundredths) AS commission
        FROM locked k
        JOIN campaigns ca USING (campaign_id)
        JOIN offers o USING (offer_id)
        WHERE k.reason IS NULL
          AND (said IN ('approved', 'cancelled', 'rejected')
               AND (k.status = 'pending' OR said_at > k.ranked_at)
               OR k.status = 'pending' AND said_at > k.ranked_at)
    ), split AS (
        SELECT f.*, part_of(commission, share_hundredths) AS user_part,
               CASE WHEN said = 'approved' THEN 'confirmed'
                    WHEN said NOT IN ('cancelled', 'rejected') THEN 'pending'
                    WHEN posted_commission > 0 OR f.status = 'reversed' THEN 'reversed'
                    ELSE 'rejected' END AS standing
        FROM folded f
    ), target AS (
        SELECT s.*,
               CASE standing WHEN 'confirmed' THEN commission ELSE 0 END AS owed,
               CASE standing WHEN 'confirmed' THEN user_part ELSE 0 END AS owed_user
        FROM split s
    ), changed AS (
        UPDATE ledger d SET
            status = standing, ranked_at = said_at, order_value = said_value,
            expected_commission = commission, user_amount = user_part,
            creator_amount = commission - user_part, posted_commission = owed,
            posted_user = owed_user, posted_creator = owed - owed_user
        FROM target t WHERE d.led_id = t.led_id
        RETURNING d.led_id, d.tenant_id, d.user_id, d.currency,
                  owed - t.posted_commission AS commission, owed_user - t.posted_user AS user_part
    ), numbered AS (
        SELECT nextval('posting_transactions') AS transaction_id, c.*
        FROM changed c WHERE commission <> 0 OR user_part <> 0
    )
    INSERT INTO postings (transaction_id, led_id, tenant_id, account, user_id, currency, amount)
    SELECT transaction_id, led_id, tenant_id, account, user_id, currency, amount
    FROM numbered, LATERAL (VALUES
        ('network_receivable', -commission),
        (CASE WHEN user_id IS NULL THEN 'unclaimed' ELSE 'user_payable' END, user_part),
        ('creator_payable', commission - user_part)) AS lines (account, amount)
    WHERE amount <> 0;
END $$;

-- Keeps and books one report: what keep_reports and book_claims do, for a transaction of its own,
-- where statements on single rows cost less than those on sets.
CREATE FUNCTION book_report(
    report bigint, of_click bigint, txn text, said text, value bigint, raw text, receipt timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    terms      record;
    owner      bigint;
    standing   text;
    commission bigint;
    user_part  bigint;
    posting    bigint;
BEGIN
    SELECT c.user_id, ca.tenant_id, ca.campaign_id, ca.share_hundredths, o.offer_id, o.currency,
           o.cool_off_days, o.commission_hundredths
    INTO terms
    FROM clicks c
    JOIN links l USING (link_id)
    JOIN campaigns ca USING (campaign_id)
    JOIN offers o ON o.offer_id = l.offer_id
    WHERE c.click_id = of_click;
    IF NOT FOUND THEN
        INSERT INTO unmatched_conversions (conv_id, reason, query, received_at)
        VALUES (report, 'unknown_click', raw, receipt) ON CONFLICT DO NOTHING;
        RETURN;
    END IF;

    INSERT INTO conversions (conv_id, click_id, txn_id, status, order_value, query, received_at)
    VALUES (report, of_click, txn, said, value, raw, receipt) ON CONFLICT DO NOTHING;

    owner := of_click;
    IF txn <> '' THEN
        INSERT INTO orders (offer_id, txn_id, click_id, received_at)
        VALUES (terms.offer_id, txn, of_click, receipt)
        ON CONFLICT (offer_id, txn_id) DO UPDATE
            SET click_id = excluded.click_id, received_at = excluded.received_at
            WHERE excluded.received_at >= orders.received_at + interval '30 days';
        IF NOT FOUND THEN
            SELECT click_id INTO owner FROM orders
            WHERE offer_id = terms.offer_id AND txn_id = txn;
        END IF;
    END IF;

    standing := CASE WHEN owner <> of_click THEN 'rejected'
                     WHEN said = 'approved' THEN 'confirmed'
                     WHEN said IN ('cancelled', 'rejected') THEN 'rejected'
                     ELSE 'pending' END;
    commission := part_of(coalesce(value, 0), terms.commission_hundredths);
    user_part := part_of(commission, terms.share_hundredths);
    posting := CASE standing WHEN 'confirmed' THEN 1 ELSE 0 END;
    INSERT INTO ledger (
        led_id, tenant_id, campaign_id, offer_id, click_id, user_id, txn_id, status, reason,
        ranked_at, payable_at, order_value, currency, expected_commission, user_amount,
        creator_amount, posted_commission, posted_user, posted_creator
    ) VALUES (
        report, terms.tenant_id, terms.campaign_id, terms.offer_id, of_click, terms.user_id, txn,
        standing, CASE WHEN owner <> of_click THEN 'duplicate_order' END, receipt,
        receipt + make_interval(days => terms.cool_off_days), value, terms.currency, commission,
        user_part, commission - user_part, posting * commission, posting * user_part,
        posting * (commission - user_part)
    ) ON CONFLICT (click_id, txn_id) DO NOTHING;
    IF NOT FOUND THEN
        PERFORM amend_claims(ARRAY[of_click], ARRAY[txn], ARRAY[said], ARRAY[value], ARRAY[receipt]);
    ELSIF posting * commission > 0 THEN
        INSERT INTO postings (transaction_id, led_id, tenant_id, account, user_id, currency, amount)
        SELECT transaction_id, report, terms.tenant_id, account, terms.user_id, terms.currency, amount
        FROM nextval('posting_transactions') AS transaction_id, (VALUES
            ('network_receivable', -commission),
            (CASE WHEN terms.user_id IS NULL THEN 'unclaimed' ELSE 'user_payable' END, user_part),
            ('creator_payable', commission - user_part)) AS lines (account, amount)
        WHERE amount <> 0;
    END IF;
END $$;
