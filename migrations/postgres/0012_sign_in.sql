-- Sign-in, and what the API keeps between requests. Whoever serves the API may do here what these
-- functions do, and read or change none of it otherwise. Times come from the caller's clock.

CREATE TABLE one_time_codes (
    request_id   uuid PRIMARY KEY,
    phone_hash   text NOT NULL,
    code_hash    text NOT NULL,
    user_id      uuid NOT NULL,
    phone_sealed bytea NOT NULL,
    attempts     int NOT NULL DEFAULT 0,
    requested_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz
);
CREATE INDEX one_time_codes_phone ON one_time_codes (phone_hash, requested_at);
COMMENT ON TABLE one_time_codes IS 'Codes that were sent to phones, for a day: they also count how often a phone was asked for.';
COMMENT ON COLUMN one_time_codes.request_id IS 'What the shopper''s page names beside the code.';
COMMENT ON COLUMN one_time_codes.phone_hash IS 'Keyed hash, as in users.';
COMMENT ON COLUMN one_time_codes.code_hash IS 'Keyed hash of request and code.';
COMMENT ON COLUMN one_time_codes.user_id IS 'Who the shopper becomes, if the phone is nobody''s yet.';
COMMENT ON COLUMN one_time_codes.phone_sealed IS 'The number, sealed for that person.';
COMMENT ON COLUMN one_time_codes.attempts IS 'Codes that were tried.';
COMMENT ON COLUMN one_time_codes.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN one_time_codes.expires_at IS 'From when on it is refused.';
COMMENT ON COLUMN one_time_codes.used_at IS 'When it let somebody in: it does so once.';

CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users,
    started_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_as text CHECK (revoked_as IN ('signed_out', 'token_reused'))
);
CREATE INDEX sessions_expires ON sessions (expires_at);
COMMENT ON TABLE sessions IS 'Sign-ins: the family of refresh tokens that come from one code.';
COMMENT ON COLUMN sessions.session_id IS 'Stands in each of its access tokens.';
COMMENT ON COLUMN sessions.user_id IS 'Who signed in.';
COMMENT ON COLUMN sessions.started_at IS 'When.';
COMMENT ON COLUMN sessions.expires_at IS 'When its last refresh token expires.';
COMMENT ON COLUMN sessions.revoked_at IS 'From when on none of its tokens counts.';
COMMENT ON COLUMN sessions.revoked_as IS 'signed_out: by its owner. token_reused: a refresh token came twice, so somebody has a copy.';

CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
COMMENT ON TABLE refresh_tokens IS 'Refresh tokens, each good for one use; used ones stay until their session is over, so that a second use is noticed.';
COMMENT ON COLUMN refresh_tokens.token_hash IS 'SHA-256 of 32 random bytes.';
COMMENT ON COLUMN refresh_tokens.session_id IS 'Its family.';
COMMENT ON COLUMN refresh_tokens.expires_at IS 'From when on it is refused.';
COMMENT ON COLUMN refresh_tokens.used_at IS 'When it was exchanged for the next.';

CREATE TABLE idempotency_keys (
    scope        text NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    started_at   timestamptz NOT NULL,
    status       int,
    answer       text,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_started ON idempotency_keys (started_at);
COMMENT ON TABLE idempotency_keys IS 'Answers to requests that create, for a day: a request that comes again is answered alike and creates nothing.';
COMMENT ON COLUMN idempotency_keys.scope IS 'Whose key: keys of different callers don''t meet.';
COMMENT ON COLUMN idempotency_keys.key IS 'As the caller chose it.';
COMMENT ON COLUMN idempotency_keys.request_hash IS 'SHA-256 of method, path and body.';
COMMENT ON COLUMN idempotency_keys.started_at IS 'When the request, or its last try, began.';
COMMENT ON COLUMN idempotency_keys.status IS 'Status of the answer; null while the request is under way.';
COMMENT ON COLUMN idempotency_keys.answer IS 'Body of the answer.';

-- Whoever reads these tables by themselves, should that ever be granted, finds nothing.
SELECT isolate(name::regclass, 'false')
FROM unnest(ARRAY['one_time_codes', 'sessions', 'refresh_tokens', 'idempotency_keys']) AS name;

-- Takes a code's place among those of its phone: at most `limit_per_hour` within an hour, whatever
-- instance is asked. Null once it is kept; else how many seconds to wait.
CREATE FUNCTION one_time_code_requested(
    request uuid, phone text, code text, candidate uuid, sealed bytea, at timestamptz,
    lifetime interval, limit_per_hour int
) RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    oldest timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('hissaback.one_time_codes'), hashtext(phone));
    SELECT requested_at INTO oldest FROM one_time_codes
    WHERE phone_hash = phone AND requested_at > at - interval '1 hour'
    ORDER BY requested_at DESC OFFSET limit_per_hour - 1 LIMIT 1;
    IF FOUND THEN
        RETURN greatest(1, ceil(extract(epoch FROM oldest + interval '1 hour' - at)));
    END IF;
    INSERT INTO one_time_codes
        (request_id, phone_hash, code_hash, user_id, phone_sealed, requested_at, expires_at)
    VALUES (request, phone, code, candidate, sealed, at, at + lifetime);
    RETURN NULL;
END $$;

-- Who a code lets in: the person with that phone, who is added if there is none. Null where the
-- code is wrong, used, expired, tried too often, or was never asked for, which look the same.
CREATE FUNCTION one_time_code_tried(request uuid, code text, at timestamptz, attempts_max int)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    tried one_time_codes;
    person uuid;
BEGIN
    UPDATE one_time_codes SET attempts = attempts + 1
    WHERE request_id = request AND used_at IS NULL AND at < expires_at AND attempts < attempts_max
    RETURNING * INTO tried;
    -- Both are keyed hashes: how long the comparison takes tells nothing of the code.
    IF NOT FOUND OR tried.code_hash <> code THEN
        RETURN NULL;
    END IF;
    UPDATE one_time_codes SET used_at = at WHERE request_id = request;
    PERFORM pg_advisory_xact_lock(
        hashtext('hissaback.one_time_codes'), hashtext(tried.phone_hash));
    SELECT user_id INTO person FROM users
    WHERE phone_hash = tried.phone_hash AND erased_at IS NULL
    ORDER BY created_at, user_id LIMIT 1;
    IF person IS NULL THEN
        INSERT INTO users (user_id, phone_sealed, phone_hash, created_at)
        VALUES (tried.user_id, tried.phone_sealed, tried.phone_hash, at);
        person := tried.user_id;
    END IF;
    RETURN person;
END $$;

CREATE FUNCTION session_started(
    session uuid, person uuid, token bytea, at timestamptz, lifetime interval
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO sessions (session_id, user_id, started_at, expires_at)
    VALUES (session, person, at, at + lifetime);
    INSERT INTO refresh_tokens (token_hash, session_id, expires_at)
    VALUES (token, session, at + lifetime);
END $$;

-- Exchanges a refresh token for the next one. No row where it doesn't count. One that was used
-- before revokes its whole session: either the thief or the owner has come second.
CREATE FUNCTION session_refreshed(
    token bytea, next_token bytea, at timestamptz, lifetime interval
) RETURNS TABLE (session_id uuid, user_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    given refresh_tokens;
    family sessions;
BEGIN
    SELECT * INTO given FROM refresh_tokens WHERE token_hash = token;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO family FROM sessions s WHERE s.session_id = given.session_id FOR UPDATE;
    SELECT * INTO given FROM refresh_tokens WHERE token_hash = token;
    IF NOT FOUND OR family.revoked_at IS NOT NULL OR at >= given.expires_at
       OR EXISTS (SELECT FROM users u
                  WHERE u.user_id = family.user_id AND u.erased_at IS NOT NULL) THEN
        RETURN;
    END IF;
    IF given.used_at IS NOT NULL THEN
        UPDATE sessions s SET revoked_at = at, revoked_as = 'token_reused'
        WHERE s.session_id = family.session_id;
        RETURN;
    END IF;
    UPDATE refresh_tokens SET used_at = at WHERE token_hash = token;
    INSERT INTO refresh_tokens (token_hash, session_id, expires_at)
    VALUES (next_token, family.session_id, at + lifetime);
    UPDATE sessions s SET expires_at = at + lifetime WHERE s.session_id = family.session_id;
    RETURN QUERY SELECT family.session_id, family.user_id;
END $$;

CREATE FUNCTION session_ended(token bytea, at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE sessions s SET revoked_at = at, revoked_as = 'signed_out'
    FROM refresh_tokens t
    WHERE t.token_hash = token AND s.session_id = t.session_id AND s.revoked_at IS NULL
$$;

-- Tenants that a person runs.
CREATE FUNCTION tenants_of(person uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id FROM tenant_members WHERE user_id = person ORDER BY tenant_id
$$;

-- Opens a request's transaction to what its caller may see: true once it is open. The session must
-- not be revoked, the person not erased, and be a member of the tenant, if any, at this instant:
-- whatever the token says.
CREATE FUNCTION scope_opened(session uuid, person uuid, tenant uuid, at timestamptz)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM sessions s JOIN users u USING (user_id)
    WHERE s.session_id = session AND s.user_id = person AND s.revoked_at IS NULL
      AND u.erased_at IS NULL
      AND (tenant IS NULL OR EXISTS (
          SELECT FROM tenant_members m WHERE m.user_id = person AND m.tenant_id = tenant));
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- One of the two: a creator sees the tenant's rows, and not as well their own purchases.
    PERFORM set_config('app.tenant', coalesce(tenant::text, ''), true),
            set_config('app.user', CASE WHEN tenant IS NULL THEN person::text ELSE '' END, true);
    RETURN true;
END $$;

-- Begins a request with an idempotency key, or tells what became of it. `fresh`: the caller carries
-- it out. Else without a status it is under way. A request that was left for `lease` is taken over.
CREATE FUNCTION idempotent_request_begun(
    caller text, chosen text, request bytea, at timestamptz, lease interval
) RETURNS TABLE (fresh boolean, matches boolean, status int, answer text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO idempotency_keys AS k (scope, key, request_hash, started_at)
    VALUES (caller, chosen, request, at)
    ON CONFLICT (scope, key) DO UPDATE SET started_at = at
    WHERE k.status IS NULL AND k.request_hash = request AND k.started_at <= at - lease;
    IF FOUND THEN
        RETURN QUERY SELECT true, true, NULL::int, NULL::text;
    ELSE
        RETURN QUERY SELECT false, k.request_hash = request, k.status, k.answer
        FROM idempotency_keys k WHERE k.scope = caller AND k.key = chosen;
    END IF;
END $$;

-- Keeps the answer. Without one the key is free again: the request changed nothing.
CREATE FUNCTION idempotent_request_ended(
    caller text, chosen text, given_status int, given_answer text
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF given_status IS NULL THEN
        DELETE FROM idempotency_keys WHERE scope = caller AND key = chosen AND status IS NULL;
    ELSE
        UPDATE idempotency_keys SET status = given_status, answer = given_answer
        WHERE scope = caller AND key = chosen;
    END IF;
END $$;

-- Removes what no request asks for any more, and gives the number of rows.
CREATE FUNCTION expired_sign_ins_removed(at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    removed bigint;
    more    bigint;
BEGIN
    DELETE FROM one_time_codes WHERE requested_at < at - interval '1 day';
    GET DIAGNOSTICS removed = ROW_COUNT;
    -- A day longer than the last access token of the session.
    DELETE FROM sessions WHERE expires_at < at - interval '2 days';
    GET DIAGNOSTICS more = ROW_COUNT;
    removed := removed + more;
    DELETE FROM idempotency_keys WHERE started_at < at - interval '1 day';
    GET DIAGNOSTICS more = ROW_COUNT;
    RETURN removed + more;
END $$;

-- A person who is erased is signed out everywhere.
CREATE FUNCTION forget_sign_ins() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM sessions WHERE user_id = OLD.user_id;
    DELETE FROM one_time_codes WHERE phone_hash = OLD.phone_hash;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_sign_ins AFTER UPDATE OF erased_at ON users
    FOR EACH ROW WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL)
    EXECUTE FUNCTION forget_sign_ins();

GRANT EXECUTE ON FUNCTION
    one_time_code_requested(uuid, text, text, uuid, bytea, timestamptz, interval, int),
    one_time_code_tried(uuid, text, timestamptz, int),
    session_started(uuid, uuid, bytea, timestamptz, interval),
    session_refreshed(bytea, bytea, timestamptz, interval),
    session_ended(bytea, timestamptz),
    tenants_of(uuid),
    scope_opened(uuid, uuid, uuid, timestamptz),
    idempotent_request_begun(text, text, bytea, timestamptz, interval),
    idempotent_request_ended(text, text, int, text)
    TO hissaback_api;
GRANT EXECUTE ON FUNCTION expired_sign_ins_removed(timestamptz) TO hissaback_operator;
