-- What columns mean, where the name alone doesn't say it. docs/data-dictionary.md is rendered from
-- these comments, and tests/data_dictionary.rs compares the two.

-- Reference data.
COMMENT ON COLUMN tenants.trackier_pid IS 'The tenant''s publisher id at Trackier, where it has one.';
COMMENT ON COLUMN tenants.custom_domain IS 'Domain that the tenant''s smart links may be served under.';

COMMENT ON COLUMN tenant_versions.version IS 'Pinned in each decision: terms are those in force when the click happened.';
COMMENT ON COLUMN tenant_versions.effective_at IS 'In force from here until the next version''s instant; at least 60 seconds after it is saved.';
COMMENT ON COLUMN tenant_versions.default_share_pct IS 'The shopper''s share of what is left after the fee, where the campaign sets none.';
COMMENT ON COLUMN tenant_versions.platform_fee_pct IS 'The platform''s fee, as a percentage of commission + subsidy.';
COMMENT ON COLUMN tenant_versions.platform_fee_flat IS 'The platform''s fee for each conversion, on top of the percentage; in units of the offer''s currency.';
COMMENT ON COLUMN tenant_versions.subsidy IS 'Bonus that the platform adds to each commission; in units of the offer''s currency.';
COMMENT ON COLUMN tenant_versions.payout_min IS 'Matured balance below which a shopper is not paid, in units. As of the payout run, not of the click.';
COMMENT ON COLUMN tenant_versions.kyc_required IS 'Whether shoppers are paid only once users.kyc_hash is set. As of the payout run.';

COMMENT ON COLUMN users.phone IS 'In the clear, here only. Where gift-card codes are sent.';
COMMENT ON COLUMN users.email IS 'In the clear, here only.';
COMMENT ON COLUMN users.phone_hash IS 'Keyed hash of the phone number, hex: compared with members'' to find self-purchases.';
COMMENT ON COLUMN users.email_hash IS 'Keyed hash of the e-mail address, hex.';
COMMENT ON COLUMN users.kyc_hash IS 'Hash of the person''s identity check; null until it was made.';

COMMENT ON COLUMN tenant_members.role IS 'Part that the member plays; any role counts for self-purchase.';
COMMENT ON COLUMN tenant_members.since IS 'From when on they are a member: clicks before it are no self-purchases.';

COMMENT ON COLUMN networks.default_currency IS 'What a report without a currency means.';
COMMENT ON COLUMN networks.payout_means IS 'Whether the field payout of a report is an amount, or a percentage of the sale.';
COMMENT ON COLUMN networks.fires_at_sale IS 'Whether its postbacks come at the moment of the sale, so that our receipt may test time rules.';
COMMENT ON COLUMN networks.security_token_sha256 IS 'SHA-256 of the security_token that its postbacks must carry, hex; null: none is asked for.';
COMMENT ON COLUMN networks.utc_offset_minutes IS 'Its own clock, ahead of UTC: applies to times in reports that name no zone.';

COMMENT ON COLUMN offers.sku IS 'Article that the offer is about, where it is about one.';

COMMENT ON COLUMN offer_versions.version IS 'Pinned in each decision.';
COMMENT ON COLUMN offer_versions.effective_at IS 'In force from here until the next version''s instant; at least 60 seconds after it is saved.';
COMMENT ON COLUMN offer_versions.tracking_url IS 'Where a smart link leads: the click token takes the place of {click_token}, else becomes the parameter p1.';
COMMENT ON COLUMN offer_versions.currency IS 'Currency of commission and parts; a report in another goes to review.';
COMMENT ON COLUMN offer_versions.commission_source IS 'percentage: base_commission_pct of the sale. payout: what the network reports.';
COMMENT ON COLUMN offer_versions.base_commission_pct IS 'Percentage of the sale amount; unused where the source is payout.';
COMMENT ON COLUMN offer_versions.commission_max IS 'A commission above it goes to review, in units; null: no cap.';
COMMENT ON COLUMN offer_versions.usual_sale_max IS 'A sale above it is a signal, in units; null: no signal.';
COMMENT ON COLUMN offer_versions.cool_off_days IS 'From conversion to payable.';
COMMENT ON COLUMN offer_versions.txn_id_names_order IS 'Whether txn_id is an order number; else it neither names claims nor makes duplicates.';
COMMENT ON COLUMN offer_versions.duplicate_orders IS 'What a second claim on an owned order is: reject, a duplicate; accept, a new order.';

COMMENT ON COLUMN campaigns.status IS 'For people: no rule looks at it.';

COMMENT ON COLUMN campaign_versions.version IS 'Pinned in each decision.';
COMMENT ON COLUMN campaign_versions.effective_at IS 'In force from here until the next version''s instant; at least 60 seconds after it is saved.';
COMMENT ON COLUMN campaign_versions.share_pct IS 'The shopper''s share of what is left after the fee; null: the tenant''s default.';
COMMENT ON COLUMN campaign_versions.attribution_window_days IS 'From click to conversion, half-open: day 30 exactly is outside 30 days.';

COMMENT ON COLUMN links.slug IS 'The last part of the smart link''s address, /r/{slug}.';

COMMENT ON COLUMN fraud_rule_sets.tenant_id IS 'Null: the platform''s own set, for tenants without one in force.';
COMMENT ON COLUMN fraud_rule_sets.effective_at IS 'In force from here until the next set of the same tenant; compared with a report''s received_at.';
COMMENT ON COLUMN fraud_rule_sets.rules IS 'Weights and thresholds by name; what is left out has its default.';

COMMENT ON COLUMN event_id_instances.leased_until IS 'On the database''s clock; renewed every 20 seconds, for 60.';
COMMENT ON COLUMN event_id_instances.holder IS 'Random name of the process that holds it.';

-- The ledger.
COMMENT ON COLUMN ledger_epoch.only_one IS 'Keeps the table at one row.';

COMMENT ON COLUMN consumer_positions.next_offset IS 'Every record below it is applied.';

COMMENT ON TABLE fold_locks IS
    'The lock class of clicks: who changes a click holds the row of its conversions partition (docs/adr/0002).';
COMMENT ON COLUMN fold_locks.source_partition IS 'Partition of conversions that the click''s id belongs to, whichever one a record came in by.';

COMMENT ON COLUMN clicks.clicked_at IS 'The click''s time: a trusted edge''s, else our receipt. Windows, terms and velocity mean this one.';
COMMENT ON COLUMN clicks.country IS 'ISO 3166 code that the edge reports; null: unknown.';
COMMENT ON COLUMN clicks.device IS 'desktop, mobile, tablet, bot or unknown: from the user agent.';
COMMENT ON COLUMN clicks.signals IS 'Bits: 1 bot, 2 data centre, 4 anonymising proxy.';
COMMENT ON COLUMN clicks.address_hash IS 'Keyed hash of the shopper''s address, hex.';
COMMENT ON COLUMN clicks.address_prefix IS 'Network of the address: /24 for IPv4, /48 for IPv6.';
COMMENT ON COLUMN clicks.referrer IS 'Page that the shopper came from, without its query.';
COMMENT ON COLUMN clicks.origin IS 'redirect: GET /r/{slug}. api: POST /v1/events/click.';

COMMENT ON COLUMN conversions.offer_id IS 'The click''s offer, whatever the report names.';
COMMENT ON COLUMN conversions.report_source IS 'postback, csv or api. The last two are believed on returns and earlier amounts.';
COMMENT ON COLUMN conversions.received_at IS 'First receipt; kept by heals. Ranks the report, unless it has as_of.';
COMMENT ON COLUMN conversions.appended_at IS 'When the log took the record: decides what counts for other claims before they close.';
COMMENT ON COLUMN conversions.as_of IS 'As-of time of the snapshot, for csv and api.';
COMMENT ON COLUMN conversions.network_conversion_id IS 'The network''s own id of the conversion (Trackier''s _id).';
COMMENT ON COLUMN conversions.network_status IS 'As this report says it: pending, approved, cancelled, rejected, extended, unknown.';
COMMENT ON COLUMN conversions.order_value IS 'Sale amount, in the report''s currency; null: it names none.';
COMMENT ON COLUMN conversions.payout IS 'The network''s payout, amount or percentage as networks.payout_means says.';
COMMENT ON COLUMN conversions.currency IS 'As this report says it; null: the network''s default.';
COMMENT ON COLUMN conversions.score IS 'Sum of the signals'' weights of this report alone.';
COMMENT ON COLUMN conversions.led_id IS 'The claim that it belongs to today; null where a better heal undid it.';
COMMENT ON COLUMN conversions.fate IS 'What became of it in its claim; undone: a better heal of the same report is in force.';
COMMENT ON COLUMN conversions.heals_partition IS 'Set on a heal: partition of the parked record that it heals.';
COMMENT ON COLUMN conversions.heals_offset IS 'Set on a heal: offset of the parked record.';

COMMENT ON COLUMN unmatched_conversions.received_at IS 'Append time, where the record can''t be read.';
COMMENT ON COLUMN unmatched_conversions.click_id IS 'The click that was looked for, where the reference holds one.';
COMMENT ON COLUMN unmatched_conversions.reason IS 'Why: a code of docs/semantics.md; for an unreadable record, the decoder''s error.';
COMMENT ON COLUMN unmatched_conversions.state IS 'parked: waits for its click. healed: a heal was seen. The others are final.';
COMMENT ON COLUMN unmatched_conversions.tries IS 'How often its click was looked for since.';
COMMENT ON COLUMN unmatched_conversions.next_try_at IS 'When it is looked for again; null: by hand only, or nothing left to do.';
COMMENT ON COLUMN unmatched_conversions.decision IS 'The decisions record, as it stands in the log.';

COMMENT ON TABLE orders IS 'Order numbers seen. The lock class of orders: inserted, then locked.';
COMMENT ON COLUMN orders.txn_id IS 'Order number, unique within network instance and offer at best.';

COMMENT ON COLUMN ledger.clicked_at IS 'The click''s time: tells the partition, and is the same for all reports of the click.';
COMMENT ON COLUMN ledger.network_id IS 'Network instance of the lowest-ranked report.';
COMMENT ON COLUMN ledger.country IS 'The shopper''s country at the click.';
COMMENT ON COLUMN ledger.txn_id IS 'Of the highest-ranked report that carries one; so are goal, network status and order value.';
COMMENT ON COLUMN ledger.first_received_at IS 'When the lowest-ranked report was received.';
COMMENT ON COLUMN ledger.converted_at IS 'The network''s own time, else the first receipt (then reasons has time_of_receipt).';
COMMENT ON COLUMN ledger.payable_at IS 'converted_at + cool-off: from here on it can be paid, and other claims'' records change it no more.';
COMMENT ON COLUMN ledger.status IS 'What we make of it; what the network says is network_status.';
COMMENT ON COLUMN ledger.reasons IS 'Why, as codes: docs/semantics.md explains each.';
COMMENT ON COLUMN ledger.order_owner IS 'The claim that owns its order, if another does: by name, when this row was written.';
COMMENT ON COLUMN ledger.network_status IS 'The network''s status as folded; null until a report carries one.';
COMMENT ON COLUMN ledger.order_value IS 'Sale amount as folded, in the reported currency; null: not known.';
COMMENT ON COLUMN ledger.currency IS 'The offer''s currency: of all sums below.';
COMMENT ON COLUMN ledger.user_pct IS 'The shopper''s share, pinned at the click.';
COMMENT ON COLUMN ledger.expected_commission IS 'What the network owes by the terms, whatever the status. Zero while it can''t be told.';
COMMENT ON COLUMN ledger.expected_subsidy IS 'What the platform adds by the terms.';
COMMENT ON COLUMN ledger.expected_fee IS 'What the platform keeps by the terms.';
COMMENT ON COLUMN ledger.creator_amount IS 'The creator''s part by the terms: the rest.';
COMMENT ON COLUMN ledger.posted_commission IS 'What stands in the books: the fold of postings under any of the claim''s names. So the others.';
COMMENT ON COLUMN ledger.posted_user IS 'On user_payable, or on unclaimed where the click has no user; payouts are not in it.';
COMMENT ON COLUMN ledger.paid_amount IS 'What funded payouts to this claim''s user took of it.';

COMMENT ON COLUMN postings.transaction_id IS 'Lines of one transaction: inserted by one statement, they sum to zero per currency.';
COMMENT ON COLUMN postings.payout_id IS 'Set instead of led_id where a payout is booked.';
COMMENT ON COLUMN postings.account IS 'Kind of account; with tenant, user and currency it is one account.';
COMMENT ON COLUMN postings.user_id IS 'Holder, on user_payable and payout_clearing.';
COMMENT ON COLUMN postings.amount IS 'Signed, in units: positive is what the holder is owed or the platform''s income.';

COMMENT ON COLUMN commands.source_partition IS 'Of topic commands, as source_offset.';
COMMENT ON COLUMN commands.issued_at IS 'Of several commands on one subject the highest (issued_at, command_id) holds.';
COMMENT ON COLUMN commands.conv_id IS 'Any report of the claim that it is about.';
COMMENT ON COLUMN commands.body IS 'The commands record, as it stands in the log.';

COMMENT ON COLUMN payouts.currency IS 'Of the card and of the items.';
COMMENT ON COLUMN payouts.amount IS 'Value of the card: whole units.';
COMMENT ON COLUMN payouts.method IS 'The rail, such as agcod.';
COMMENT ON COLUMN payouts.as_of IS 'Of the run that made it: only claims payable before it are in.';
COMMENT ON COLUMN payouts.creation_request_id IS 'The one request id that it has for ever, whatever happens to an attempt.';
COMMENT ON COLUMN payouts.request IS 'The frozen request body, sent byte for byte at every attempt.';
COMMENT ON COLUMN payouts.state IS 'queued: no byte went out. sending, error_soft, error_hard: a card may exist. funded, cancelled: final.';
COMMENT ON COLUMN payouts.card_id IS 'The rail''s own id of the card.';
COMMENT ON COLUMN payouts.paid_at IS 'When it was funded.';

COMMENT ON COLUMN payout_items.led_id IS 'The claim''s name when the payout was made; conversions.conv_id resolves it to today''s.';
COMMENT ON COLUMN payout_items.amount IS 'How much of the claim, in units of the payout''s currency.';

COMMENT ON COLUMN payout_steps.source_partition IS 'Of topic payout-results, as source_offset.';
COMMENT ON COLUMN payout_steps.attempt IS 'Which attempt, from 1; 0 where none was made.';
COMMENT ON COLUMN payout_steps.detail IS 'Error code and type as the rail gave them; never a claim code.';

COMMENT ON COLUMN outbox.sequence IS 'Order of publication; stands in ledger records.';
COMMENT ON COLUMN outbox.epoch IS 'The ledger''s, when it was written.';
COMMENT ON COLUMN outbox.transaction_id IS 'Who wrote it: published once no older transaction can still write.';

-- Dispatch of payouts.
COMMENT ON TABLE payout_dispatch IS
    'How far the dispatch of each payout has come. Can''t be rebuilt from the log and needn''t: after a loss the identical request yields the same card.';
COMMENT ON COLUMN payout_dispatch.channel IS 'The rail, such as agcod.';
COMMENT ON COLUMN payout_dispatch.attempts IS 'Attempts ever begun.';
COMMENT ON COLUMN payout_dispatch.round_attempts IS 'Attempts that count in the present round; a release or a channel fault begins a new one.';
COMMENT ON COLUMN payout_dispatch.round_began_at IS 'When the round''s first attempt began.';
COMMENT ON COLUMN payout_dispatch.next_attempt_at IS 'Null: nothing left to do, or somebody else''s turn.';
COMMENT ON COLUMN payout_dispatch.leased_until IS 'While an attempt is in flight, until when its dispatcher is believed alive: the database''s clock.';
COMMENT ON COLUMN payout_dispatch.ambiguous IS 'Whether any attempt ever may have left a card that isn''t counted. Never unset.';
COMMENT ON COLUMN payout_dispatch.sending_sequence IS 'Outbox row of the step sending: no byte goes out before that row is gone.';
COMMENT ON COLUMN payout_dispatch.last_error IS 'What the last attempt came to, for the operator; never a claim code.';
COMMENT ON COLUMN payout_dispatch.claim_code_key_id IS 'Key that sealed the claim code; null: none is kept.';
COMMENT ON COLUMN payout_dispatch.claim_code_nonce IS 'Nonce of the seal.';
COMMENT ON COLUMN payout_dispatch.claim_code_ciphertext IS 'The sealed claim code, bound to this payout; deleted once its message is out.';
COMMENT ON COLUMN payout_dispatch.sms_state IS 'none: no card yet. due: to be sent. no_phone, failed: a person has to act. sent: out.';
COMMENT ON COLUMN payout_dispatch.sms_leased_until IS 'While a message is in flight, as leased_until.';
COMMENT ON COLUMN payout_dispatch.released_issued_at IS 'With released_command_id: the highest command that released it; an older one that comes again changes nothing.';

COMMENT ON TABLE payout_channels IS
    'Rails that stand still, or stood. Holds no tenant''s data, so no row-level security.';
COMMENT ON COLUMN payout_channels.paused IS 'While set, nothing is announced or sent.';
COMMENT ON COLUMN payout_channels.reason IS 'The operator''s, or the rail''s own answer that stopped it.';
COMMENT ON COLUMN payout_channels.switched_issued_at IS 'With switched_command_id: the highest command that switched it.';

COMMENT ON COLUMN analytics_positions.next_offset IS 'Every record below it is in ClickHouse.';
COMMENT ON COLUMN analytics_positions.pending_last_offset IS 'Last record of the batch that begins at next_offset and may be in ClickHouse or not; null: none is under way.';
