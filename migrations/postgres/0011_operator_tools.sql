-- What the operators' tools keep and look up.

-- Dead letters and unmatched reports: what became of each is in the audit log, by its position.
CREATE INDEX audit_log_letters ON audit_log (subject)
    WHERE action IN ('dead_letter_redriven', 'dead_letter_discarded', 'unmatched_discarded');

-- Replay: corrections that one operator proposes and another approves.
CREATE TABLE correction_proposals (
    proposal_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    proposed_at  timestamptz NOT NULL DEFAULT now(),
    proposed_by  text NOT NULL,
    reason       text NOT NULL,
    code_version text NOT NULL,
    span         jsonb NOT NULL,
    extent       jsonb NOT NULL,
    corrections  jsonb NOT NULL,
    sha256       text NOT NULL,
    approved_by  text,
    approved_at  timestamptz,
    applied_at   timestamptz,
    CONSTRAINT approved_by_another CHECK (lower(approved_by) <> lower(proposed_by)),
    CONSTRAINT approved_at_once CHECK (num_nulls(approved_by, approved_at) <> 1),
    CONSTRAINT approved_before_applied CHECK (applied_at IS NULL OR approved_at IS NOT NULL)
);
COMMENT ON TABLE correction_proposals IS
    'What a replay would have booked otherwise, as one operator proposed it. Nothing happens until another approves it; then it is commands in the log.';
COMMENT ON COLUMN correction_proposals.proposal_id IS 'Number of the proposal.';
COMMENT ON COLUMN correction_proposals.proposed_at IS 'When it was made.';
COMMENT ON COLUMN correction_proposals.proposed_by IS 'By whom.';
COMMENT ON COLUMN correction_proposals.reason IS 'Why, in their words.';
COMMENT ON COLUMN correction_proposals.code_version IS 'Version of the program that made the replay.';
COMMENT ON COLUMN correction_proposals.span IS 'Which part of the log was replayed.';
COMMENT ON COLUMN correction_proposals.extent IS 'How far it reaches: claims, tenants, and sums by currency.';
COMMENT ON COLUMN correction_proposals.corrections IS 'For each claim what is booked, what is to be, and why.';
COMMENT ON COLUMN correction_proposals.sha256 IS 'SHA-256 of the corrections: whoever approves them names it.';
COMMENT ON COLUMN correction_proposals.approved_by IS 'Another operator than the one who proposed it.';
COMMENT ON COLUMN correction_proposals.approved_at IS 'When.';
COMMENT ON COLUMN correction_proposals.applied_at IS 'When all its commands were in the log.';
GRANT SELECT, INSERT, UPDATE ON correction_proposals TO hissaback_operator;

-- Postbacks per campaign and hour: rows stand about in the order of their receipt.
CREATE INDEX conversions_received ON conversions USING brin (received_at);
