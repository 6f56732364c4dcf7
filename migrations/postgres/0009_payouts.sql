-- Payouts: who is told of them, by which way they go, and how they are run.

-- Messages -------------------------------------------------------------------------------------

-- A message to a shopper, until it is there. Without a foreign key to payouts or the ledger: a
-- rebuild empties those, and who was told what has to survive it.
CREATE TABLE messages (
    message_id        uuid        PRIMARY KEY,
    kind              text        NOT NULL CHECK (kind IN ('gift_card', 'confirmation')),
    tenant_id         uuid        NOT NULL,
    user_id           uuid        NOT NULL,
    currency          char(3)     NOT NULL,
    state             text        NOT NULL DEFAULT 'due' CHECK (state IN
        ('due', 'no_phone', 'sent', 'delivered', 'failed', 'card_gone', 'dropped')),
    created_at        timestamptz NOT NULL,
    closed            boolean     NOT NULL DEFAULT true,
    attempts          integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at   timestamptz,
    leased_until      timestamptz,
    resends           integer     NOT NULL DEFAULT 0 CHECK (resends >= 0),
    gateway_id        text,
    sent_at           timestamptz,
    delivered_at      timestamptz,
    error             text,
    resent_issued_at  timestamptz,
    resent_command_id bigint
);
CREATE INDEX messages_due ON messages (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX messages_open ON messages (state, created_at)
    WHERE state IN ('due', 'no_phone', 'failed', 'card_gone');
CREATE INDEX messages_user ON messages (user_id);
CREATE INDEX messages_gateway ON messages (gateway_id) WHERE gateway_id IS NOT NULL;
-- One bundle of a shopper's confirmations is open at a time.
CREATE UNIQUE INDEX messages_open_bundle ON messages (tenant_id, user_id, currency)
    WHERE kind = 'confirmation' AND NOT closed;
COMMENT ON TABLE messages IS
    'Messages to shoppers: gift-card codes, and confirmations of rewards. No number and no text.';
COMMENT ON COLUMN messages.message_id IS 'Of a gift card''s message: the payout''s id.';
COMMENT ON COLUMN messages.kind IS 'gift_card: brings the code of a payout''s card. confirmation: tells of claims that were confirmed.';
COMMENT ON COLUMN messages.currency IS 'Of what it tells.';
COMMENT ON COLUMN messages.state IS 'due: to be sent. no_phone: the shopper has none. sent: the gateway has it. delivered: the gateway says that it is there. failed, card_gone: error says why, and a person has to act. dropped: error says why it is not to be sent.';
COMMENT ON COLUMN messages.created_at IS 'When there first was something to tell.';
COMMENT ON COLUMN messages.closed IS 'Whether no further claim joins it: once it was handed out, and gift cards'' always.';
COMMENT ON COLUMN messages.attempts IS 'How often it was tried since it was last due anew.';
COMMENT ON COLUMN messages.next_attempt_at IS 'When something is next to be done: a try, or giving up waiting for a delivery report. Null: nothing, or a person''s turn.';
COMMENT ON COLUMN messages.leased_until IS 'While it is in hand, until when whoever has it is believed alive: the database''s clock.';
COMMENT ON COLUMN messages.resends IS 'How often it was sent anew on command; part of the reference that the gateway knows it by.';
COMMENT ON COLUMN messages.gateway_id IS 'The gateway''s own id of what it took last.';
COMMENT ON COLUMN messages.sent_at IS 'When the gateway took it last.';
COMMENT ON COLUMN messages.delivered_at IS 'When the gateway said that it is there.';
COMMENT ON COLUMN messages.error IS 'Why it isn''t out; never a number, a text or a code.';
COMMENT ON COLUMN messages.resent_issued_at IS 'With resent_command_id: the highest command that made it due anew; an older one that comes again changes nothing.';
COMMENT ON COLUMN messages.resent_command_id IS 'See resent_issued_at.';
SELECT isolate('messages', 'tenant_id = current_tenant()');
GRANT SELECT, INSERT, UPDATE ON messages TO hissaback_writer;
GRANT SELECT ON messages TO hissaback_operator;

-- Which claims were told of: each once, whatever is read again.
CREATE TABLE claim_notices (
    led_id     bigint      PRIMARY KEY,
    message_id uuid        NOT NULL REFERENCES messages,
    noticed_at timestamptz NOT NULL
);
CREATE INDEX claim_notices_message ON claim_notices (message_id);
COMMENT ON TABLE claim_notices IS
    'Claims whose confirmation was, or is to be, told to their shopper. Never undone.';
COMMENT ON COLUMN claim_notices.led_id IS 'The claim''s name when it was confirmed; conversions.conv_id resolves it to today''s.';
COMMENT ON COLUMN claim_notices.message_id IS 'The message that tells of it.';
COMMENT ON COLUMN claim_notices.noticed_at IS 'When its confirmation was read.';
GRANT SELECT, INSERT ON claim_notices TO hissaback_writer;
GRANT SELECT ON claim_notices TO hissaback_operator;

-- So that no defect floods a shopper.
CREATE TABLE message_sends (
    recipient     text        PRIMARY KEY,
    counted_since timestamptz NOT NULL,
    sends         bigint      NOT NULL CHECK (sends > 0)
);
COMMENT ON TABLE message_sends IS
    'How often it was tried to send to a number, in a day from the first try: what its limit counts.';
COMMENT ON COLUMN message_sends.recipient IS 'The number''s keyed hash, as users.phone_hash.';
COMMENT ON COLUMN message_sends.counted_since IS 'The first of the tries that are counted.';
COMMENT ON COLUMN message_sends.sends IS 'How many there were since.';
GRANT SELECT, INSERT, UPDATE ON message_sends TO hissaback_writer;
GRANT SELECT ON message_sends TO hissaback_operator;

-- What payout_dispatch knew of messages. Its columns stay for a dispatcher of the version before.
INSERT INTO messages (message_id, kind, tenant_id, user_id, currency, state, created_at, attempts,
                      next_attempt_at, leased_until, sent_at, error)
SELECT p.payout_id, 'gift_card', p.tenant_id, p.user_id, p.currency, d.sms_state,
       coalesce(p.paid_at, now()), d.sms_attempts, d.sms_next_attempt_at, d.sms_leased_until,
       d.sms_sent_at, d.sms_error
FROM payout_dispatch d JOIN payouts p USING (payout_id) WHERE d.sms_state <> 'none';
UPDATE payout_dispatch SET sms_next_attempt_at = NULL WHERE sms_next_attempt_at IS NOT NULL;
COMMENT ON COLUMN payout_dispatch.sms_state IS 'Read no more: messages has it. So with the other columns of this name.';

-- Gives a person a phone number who has none, and makes due what waited for one. Returns whether
-- they got it: a number that is there is not replaced, and an erased person gets none.
CREATE FUNCTION add_phone(person uuid, sealed bytea, hash text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE users SET phone_sealed = sealed, phone_hash = hash
    WHERE user_id = person AND phone_sealed IS NULL AND erased_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE messages SET next_attempt_at = least(next_attempt_at, now())
    WHERE user_id = person AND state = 'no_phone';
    RETURN true;
END $$;
GRANT EXECUTE ON FUNCTION add_phone(uuid, bytea, text) TO hissaback_operator;

-- As before, with messages in their own table, and the destinations that payouts go to.
CREATE OR REPLACE FUNCTION erase_user(erased uuid, despite_open_payouts boolean)
RETURNS TABLE (users_changed bigint, messages_changed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    codes_changed bigint;
BEGIN
    -- The payee's lock: no payout run and no batch of the ledger looks at them meanwhile.
    INSERT INTO payee_locks VALUES (erased) ON CONFLICT DO NOTHING;
    PERFORM FROM payee_locks WHERE user_id = erased FOR UPDATE;
    PERFORM FROM users WHERE user_id = erased FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no user %', erased USING ERRCODE = 'no_data_found';
    END IF;
    IF NOT despite_open_payouts AND EXISTS (
        SELECT FROM payouts p LEFT JOIN messages m ON m.message_id = p.payout_id
        WHERE p.user_id = erased
          AND (p.state NOT IN ('cancelled', 'funded')
               OR (p.state = 'funded' AND m.state = 'due'))
    ) THEN
        RAISE EXCEPTION 'a payout of % is open', erased USING ERRCODE = 'object_in_use';
    END IF;
    DELETE FROM message_sends
    WHERE recipient = (SELECT phone_hash FROM users WHERE user_id = erased);
    DELETE FROM user_payout_methods WHERE user_id = erased;
    UPDATE users SET phone_sealed = NULL, email_sealed = NULL, phone_hash = NULL,
                     email_hash = NULL, kyc_hash = NULL, erased_at = now()
    WHERE user_id = erased AND erased_at IS NULL;
    GET DIAGNOSTICS users_changed = ROW_COUNT;
    UPDATE messages SET state = 'dropped', next_attempt_at = NULL, closed = true,
                        error = 'the shopper was erased'
    WHERE user_id = erased
      AND (next_attempt_at IS NOT NULL OR state IN ('due', 'no_phone', 'failed', 'card_gone'));
    GET DIAGNOSTICS messages_changed = ROW_COUNT;
    UPDATE payout_dispatch d
    SET claim_code_key_id = NULL, claim_code_nonce = NULL, claim_code_ciphertext = NULL
    FROM payouts p
    WHERE p.payout_id = d.payout_id AND p.user_id = erased AND d.claim_code_ciphertext IS NOT NULL;
    GET DIAGNOSTICS codes_changed = ROW_COUNT;
    messages_changed := greatest(messages_changed, codes_changed);
    RETURN NEXT;
END $$;

-- Payout methods -------------------------------------------------------------------------------

-- How a shopper wants to be paid, as versions. Read under the payee's lock by the payout run and
-- then carried by the payout itself, so no instance can be behind.
CREATE TABLE user_payout_methods (
    user_id            uuid        NOT NULL REFERENCES users,
    effective_at       timestamptz NOT NULL,
    method             text        NOT NULL CHECK (method ~ '^[a-z][a-z0-9_]{0,31}$'),
    destination_sealed bytea,
    saved_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, effective_at)
);
COMMENT ON TABLE user_payout_methods IS
    'By which rail a shopper is paid, and where to. Who has none is paid by gift card.';
COMMENT ON COLUMN user_payout_methods.effective_at IS 'From when on: the newest version before a payout run''s as_of holds.';
COMMENT ON COLUMN user_payout_methods.method IS 'The rail''s name, as in payouts.method.';
COMMENT ON COLUMN user_payout_methods.destination_sealed IS 'The rail''s own token of the account, sealed as users.phone_sealed is; null where the rail needs none.';
COMMENT ON COLUMN user_payout_methods.saved_at IS 'When it was saved.';
SELECT isolate('user_payout_methods', 'user_id = current_app_user()');
GRANT SELECT ON user_payout_methods TO hissaback_writer;
GRANT INSERT ON user_payout_methods TO hissaback_operator;
GRANT SELECT (user_id, effective_at, method, saved_at) ON user_payout_methods
    TO hissaback_operator;

-- The rail's limits, shared by every dispatcher -------------------------------------------------

-- Not a tenant's data, so no row-level security.
CREATE TABLE payout_rates (
    channel   text        NOT NULL,
    operation text        NOT NULL,
    next_at   timestamptz NOT NULL,
    PRIMARY KEY (channel, operation)
);
GRANT SELECT, INSERT, UPDATE ON payout_rates TO hissaback_writer;
GRANT SELECT ON payout_rates TO hissaback_operator;
COMMENT ON TABLE payout_rates IS
    'When the next call to a rail may be made, over all instances: each takes its slots here before it calls.';
COMMENT ON COLUMN payout_rates.channel IS 'The rail, such as agcod.';
COMMENT ON COLUMN payout_rates.operation IS 'call: any call counts. funds: asking for the funds, which is limited by itself too.';
COMMENT ON COLUMN payout_rates.next_at IS 'The first slot that nobody has taken: the database''s clock.';

ALTER TABLE payout_channels
    ADD COLUMN held_until timestamptz,
    ADD COLUMN funds numeric,
    ADD COLUMN funds_currency char(3),
    ADD COLUMN funds_at timestamptz,
    ADD CONSTRAINT funds_whole CHECK (num_nulls(funds, funds_currency, funds_at) IN (0, 3));
COMMENT ON COLUMN payout_channels.held_until IS 'After throttling, until when no dispatcher calls; by the product''s clock.';
COMMENT ON COLUMN payout_channels.funds IS 'What the rail last said is left to be paid out, in units.';
COMMENT ON COLUMN payout_channels.funds_currency IS 'Of funds.';
COMMENT ON COLUMN payout_channels.funds_at IS 'When the rail said so.';

-- Due payouts are handed out in this order: what is tried again before what is new, so that a long
-- queue keeps nobody waiting who was being paid already.
DROP INDEX payout_dispatch_due;
CREATE INDEX payout_dispatch_due
    ON payout_dispatch (channel, (attempts = 0), next_attempt_at, payout_id)
    WHERE next_attempt_at IS NOT NULL;

-- What isn't paid yet, the oldest first.
CREATE INDEX payouts_unpaid ON payouts (as_of) WHERE state NOT IN ('funded', 'cancelled');

-- Cards that an operator calls back --------------------------------------------------------------

ALTER TABLE payout_dispatch
    ADD COLUMN recall_issued_at timestamptz,
    ADD COLUMN recall_command_id bigint,
    ADD COLUMN recall_next_attempt_at timestamptz,
    ADD COLUMN recall_error text,
    ADD COLUMN recalled_at timestamptz;
CREATE INDEX payout_dispatch_recalls ON payout_dispatch (channel, recall_next_attempt_at)
    WHERE recall_next_attempt_at IS NOT NULL;
GRANT SELECT (recall_issued_at, recall_command_id, recall_next_attempt_at, recall_error, recalled_at)
    ON payout_dispatch TO hissaback_operator;
COMMENT ON COLUMN payout_dispatch.recalled_at IS 'When it was found that no card can be spent, so that the money returns: nothing is sent any more.';
COMMENT ON COLUMN payout_dispatch.recall_issued_at IS 'With recall_command_id: the operator''s command to give the payout up after it was sent.';
COMMENT ON COLUMN payout_dispatch.recall_command_id IS 'See recall_issued_at.';
COMMENT ON COLUMN payout_dispatch.recall_next_attempt_at IS 'When the rail is asked next to cancel the card; null: nothing left to ask.';
COMMENT ON COLUMN payout_dispatch.recall_error IS 'Why the card could not be cancelled, for the operator.';
