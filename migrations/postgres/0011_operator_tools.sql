-- What the operators' tools keep and look up.

-- Dead letters and unmatched reports: what became of each is in the audit log, by its position.
CREATE INDEX audit_log_letters ON audit_log (subject)
    WHERE action IN ('dead_letter_redriven', 'dead_letter_discarded', 'unmatched_discarded');
