-- How far the dispatch of each payout has come, and which channels stand still.
--
-- What a payout *is* (payouts, payout-results in the log) can be rebuilt from the log. What is
-- here can't and needn't: attempts, timers, and a claim code that lives until its message is out.
-- After a loss the identical request is repeated, which yields the same card.

CREATE TABLE payout_dispatch (
    -- Without a foreign key: a rebuild of the ledger empties payouts, and this has to survive it.
    payout_id             uuid        PRIMARY KEY,
    tenant_id             uuid        NOT NULL,
    channel               text        NOT NULL,
    attempts              integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    first_attempt_at      timestamptz,
    -- Attempts that count in the present round; a release or a channel fault begins a new one.
    round_attempts        integer     NOT NULL DEFAULT 0 CHECK (round_attempts >= 0),
    round_began_at        timestamptz,
    -- NULL: nothing left to do, or somebody else's turn.
    next_attempt_at       timestamptz,
    -- While an attempt is in flight, until when its dispatcher is believed alive: the database's
    -- clock, since it is about processes and not about business.
    leased_until          timestamptz,
    -- Whether any attempt ever may have left a card that isn't counted. Never unset.
    ambiguous             boolean     NOT NULL DEFAULT false,
    -- The outbox row of the step `sending`. No byte goes out before that row is gone.
    sending_sequence      bigint,
    last_error            text,
    card_expires_at       timestamptz,

    claim_code_key_id     integer,
    claim_code_nonce      bytea       CHECK (octet_length(claim_code_nonce) = 24),
    claim_code_ciphertext bytea,
    CHECK (num_nulls(claim_code_key_id, claim_code_nonce, claim_code_ciphertext) IN (0, 3)),

    sms_state             text        NOT NULL DEFAULT 'none'
        CHECK (sms_state IN ('none', 'due', 'no_phone', 'sent', 'failed')),
    sms_attempts          integer     NOT NULL DEFAULT 0 CHECK (sms_attempts >= 0),
    sms_next_attempt_at   timestamptz,
    sms_leased_until      timestamptz,
    sms_sent_at           timestamptz,
    sms_error             text,

    -- The highest command that released it: an older one that comes again changes nothing.
    released_issued_at    timestamptz,
    released_command_id   bigint
);

CREATE INDEX payout_dispatch_due ON payout_dispatch (channel, next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX payout_dispatch_in_flight ON payout_dispatch (leased_until)
    WHERE leased_until IS NOT NULL;
CREATE INDEX payout_dispatch_sms_due ON payout_dispatch (channel, sms_next_attempt_at)
    WHERE sms_next_attempt_at IS NOT NULL;

-- The API is granted nothing here; the policy stands in case it ever is.
SELECT isolate('payout_dispatch', 'tenant_id = current_tenant()');
GRANT SELECT, INSERT, UPDATE ON payout_dispatch TO hissaback_writer;
-- Operators see everything but the claim code, encrypted as it is.
GRANT SELECT (
    payout_id, tenant_id, channel, attempts, first_attempt_at, round_attempts, round_began_at,
    next_attempt_at, leased_until, ambiguous, sending_sequence, last_error, card_expires_at,
    claim_code_key_id, sms_state, sms_attempts, sms_next_attempt_at, sms_leased_until, sms_sent_at,
    sms_error, released_issued_at, released_command_id
) ON payout_dispatch TO hissaback_operator;

-- A channel is the platform's: it holds no tenant's data, so no row-level security.
CREATE TABLE payout_channels (
    channel             text        PRIMARY KEY,
    paused              boolean     NOT NULL DEFAULT false,
    reason              text,
    paused_at           timestamptz,
    CHECK (paused = (paused_at IS NOT NULL)),
    -- The highest command that switched it: an older one that comes again changes nothing.
    switched_issued_at  timestamptz,
    switched_command_id bigint
);

GRANT SELECT, INSERT, UPDATE ON payout_channels TO hissaback_writer;
GRANT SELECT ON payout_channels TO hissaback_operator;
