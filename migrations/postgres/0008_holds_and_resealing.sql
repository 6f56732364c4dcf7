-- A broken money invariant stops payouts until an operator lets them go on; contacts are sealed
-- with a new key.

CREATE TABLE payout_holds (
    hold_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    raised_at      timestamptz NOT NULL DEFAULT now(),
    invariant      text NOT NULL,
    figure         bigint NOT NULL CHECK (figure > 0),
    offending_rows jsonb NOT NULL,
    lifted_at      timestamptz,
    lifted_by      text,
    reason         text,
    accepted       jsonb,
    CONSTRAINT lifted_whole CHECK (num_nulls(lifted_at, lifted_by, reason, accepted) IN (0, 4))
);
CREATE UNIQUE INDEX payout_holds_one_open ON payout_holds ((true)) WHERE lifted_at IS NULL;

CREATE FUNCTION refuse_all_but_lifting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.lifted_at IS NULL AND NEW.lifted_at IS NOT NULL
       AND (NEW.hold_id, NEW.raised_at, NEW.invariant, NEW.figure, NEW.offending_rows)
         = (OLD.hold_id, OLD.raised_at, OLD.invariant, OLD.figure, OLD.offending_rows) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a hold is lifted once, and kept' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON payout_holds
    FOR EACH ROW EXECUTE FUNCTION refuse_all_but_lifting();

GRANT SELECT, INSERT ON payout_holds TO hissaback_writer, hissaback_operator;
GRANT UPDATE (lifted_at, lifted_by, reason, accepted) ON payout_holds TO hissaback_operator;

-- A click is known by its id alone, whatever month it is in.
COMMENT ON COLUMN conflicts.kind IS 'decision: another outcome for a report. click: other facts under a click''s id, its time included. command: another body under a command''s id.';

COMMENT ON TABLE payout_holds IS 'Each time that a broken money invariant stopped payouts. At most one hold is open: while it is, nobody is paid and nothing goes to the gift-card service.';
COMMENT ON COLUMN payout_holds.hold_id IS 'Number of the hold.';
COMMENT ON COLUMN payout_holds.raised_at IS 'When it was noticed.';
COMMENT ON COLUMN payout_holds.invariant IS 'Which one, as the audit calls it: the first, where several were broken.';
COMMENT ON COLUMN payout_holds.figure IS 'How many rows offended against it then.';
COMMENT ON COLUMN payout_holds.offending_rows IS 'The first of them, as they were.';
COMMENT ON COLUMN payout_holds.lifted_at IS 'When an operator let payouts go on; null: they are held.';
COMMENT ON COLUMN payout_holds.lifted_by IS 'Who.';
COMMENT ON COLUMN payout_holds.reason IS 'Why, in their words.';
COMMENT ON COLUMN payout_holds.accepted IS 'What was still broken then and payouts go on despite: figures by invariant. A higher figure raises another hold.';

-- People with a contact under another key than this, after this person, in the order of their ids.
-- Sealed texts say nothing without the keys, which the database never has.
CREATE FUNCTION contacts_to_reseal(current_key int, after_user uuid, count_max bigint)
RETURNS TABLE (user_id uuid, phone_sealed bytea, email_sealed bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.user_id, u.phone_sealed, u.email_sealed FROM users u
    WHERE u.user_id > after_user
      AND (substring(u.phone_sealed FROM 1 FOR 4) <> int4send(current_key)
           OR substring(u.email_sealed FROM 1 FOR 4) <> int4send(current_key))
    ORDER BY u.user_id LIMIT count_max
$$;

-- Replaces sealed contacts where they are still what was read, and gives the people changed.
CREATE FUNCTION reseal_contacts(
    user_ids uuid[], old_phones bytea[], old_emails bytea[], new_phones bytea[], new_emails bytea[]
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH resealed AS (
        UPDATE users u SET phone_sealed = n.new_phone, email_sealed = n.new_email
        FROM unnest(user_ids, old_phones, old_emails, new_phones, new_emails)
             AS n (user_id, old_phone, old_email, new_phone, new_email)
        WHERE u.user_id = n.user_id AND u.erased_at IS NULL
          AND u.phone_sealed IS NOT DISTINCT FROM n.old_phone
          AND u.email_sealed IS NOT DISTINCT FROM n.old_email
        RETURNING u.user_id)
    SELECT count(*) FROM resealed
$$;
GRANT EXECUTE ON FUNCTION
    contacts_to_reseal(int, uuid, bigint),
    reseal_contacts(uuid[], bytea[], bytea[], bytea[], bytea[])
    TO hissaback_operator;
