-- What columns mean, where their names don't say it: docs/analytics.md shows it. A view has comments
-- of its own; one that is made anew later needs them again.

ALTER TABLE hissaback.clicks
    COMMENT COLUMN origin 'redirect (a smart link was followed) or api',
    COMMENT COLUMN signals 'bits: 1 bot, 2 data centre, 4 proxy',
    COMMENT COLUMN address_hash 'keyed hash of the address, hex',
    COMMENT COLUMN address_prefix 'the network of the address, /24 or /48',
    COMMENT COLUMN referrer 'the page that linked here, without its query';

ALTER TABLE hissaback.conversions
    COMMENT COLUMN network_conversion_id 'the network''s own id of the conversion',
    COMMENT COLUMN sale_amount 'in currency; absent is not zero',
    COMMENT COLUMN precedence 'of several decisions on one report the highest counts';

ALTER TABLE hissaback.decisions
    COMMENT COLUMN event_id 'of the report',
    COMMENT COLUMN tenant_version 'of the terms that were pinned, as of the click',
    COMMENT COLUMN campaign_version 'of the terms that were pinned, as of the click',
    COMMENT COLUMN offer_version 'of the terms that were pinned, as of the click',
    COMMENT COLUMN rules_version 'of the fraud rules, as of the receipt',
    COMMENT COLUMN score 'sum of the weights of its signals',
    COMMENT COLUMN signals 'what speaks against the report',
    COMMENT COLUMN click_country 'of the click',
    COMMENT COLUMN subsidy 'what the platform would add',
    COMMENT COLUMN fee 'what the platform would keep',
    COMMENT COLUMN user_part 'the shopper''s part',
    COMMENT COLUMN creator_part 'the creator''s part',
    COMMENT COLUMN precedence 'of several decisions on one report the highest counts';

ALTER TABLE hissaback.ledger_entries
    COMMENT COLUMN status 'pending, review, confirmed, rejected, paid or reversed',
    COMMENT COLUMN reasons 'why it has that status, where it isn''t the network''s word alone',
    COMMENT COLUMN expected_commission 'what the network owes, or will',
    COMMENT COLUMN expected_subsidy 'what the platform adds',
    COMMENT COLUMN expected_fee 'what the platform keeps',
    COMMENT COLUMN expected_user 'the shopper''s part',
    COMMENT COLUMN expected_creator 'the creator''s part',
    COMMENT COLUMN posted_commission 'the same, as it stands in the books',
    COMMENT COLUMN posted_subsidy 'the same, as it stands in the books',
    COMMENT COLUMN posted_fee 'the same, as it stands in the books',
    COMMENT COLUMN posted_user 'the same, as it stands in the books',
    COMMENT COLUMN posted_creator 'the same, as it stands in the books',
    COMMENT COLUMN paid_amount 'how much of the shopper''s part was paid out',
    COMMENT COLUMN epoch 'counts restores of the ledger',
    COMMENT COLUMN sequence 'of the change, within its epoch';

ALTER TABLE hissaback.ledger_changes
    COMMENT COLUMN epoch 'counts restores of the ledger',
    COMMENT COLUMN sequence 'of the change, within its epoch',
    COMMENT COLUMN status 'after the change',
    COMMENT COLUMN retired 'the claim goes by another name, or its reports moved away',
    COMMENT COLUMN posted_subsidy 'what stood in the books after it',
    COMMENT COLUMN posted_fee 'what stood in the books after it',
    COMMENT COLUMN posted_user 'what stood in the books after it',
    COMMENT COLUMN posted_creator 'what stood in the books after it',
    COMMENT COLUMN paid_amount 'what was paid out of the shopper''s part by then',
    COMMENT COLUMN posting_users 'whose account, line by line',
    COMMENT COLUMN posting_currencies 'in which currency, line by line',
    COMMENT COLUMN posting_amounts 'how much, line by line; they add up to nothing';

ALTER TABLE hissaback.payouts
    COMMENT COLUMN amount 'of the card',
    COMMENT COLUMN method 'the rail: agcod',
    COMMENT COLUMN item_claims 'claims that it pays, one by one',
    COMMENT COLUMN item_amounts 'how much of each';

ALTER TABLE hissaback.payout_steps
    COMMENT COLUMN step 'sending, funded, cancelled, error_soft (tried again) or error_hard (waits for a person)',
    COMMENT COLUMN attempt 'counts calls to the rail',
    COMMENT COLUMN at 'when it was';

ALTER TABLE hissaback.positions
    COMMENT COLUMN topic 'of the log',
    COMMENT COLUMN partition 'of the topic';

ALTER TABLE hissaback.schema_migrations
    MODIFY COMMENT 'The files of migrations/clickhouse that were applied';

ALTER TABLE hissaback.schema_migrations
    COMMENT COLUMN version 'the number of the file',
    COMMENT COLUMN name 'the rest of its name';

ALTER TABLE hissaback.v_clicks
    MODIFY COMMENT 'One row for each click';

ALTER TABLE hissaback.v_clicks
    COMMENT COLUMN origin 'redirect (a smart link was followed) or api',
    COMMENT COLUMN bot 'its user agent is a machine''s',
    COMMENT COLUMN data_centre 'its address is a data centre''s',
    COMMENT COLUMN proxy 'its address is a proxy''s',
    COMMENT COLUMN address_hash 'keyed hash of the address, hex',
    COMMENT COLUMN address_prefix 'the network of the address, /24 or /48',
    COMMENT COLUMN referrer 'the page that linked here, without its query';

ALTER TABLE hissaback.v_conversions
    MODIFY COMMENT 'One row for each report of a sale, as the network sent it';

ALTER TABLE hissaback.v_conversions
    COMMENT COLUMN event_id 'kept by the heals of a report; 0 for an unreadable record',
    COMMENT COLUMN report_source 'postback, csv or api',
    COMMENT COLUMN as_of 'of the snapshot, for csv and api',
    COMMENT COLUMN offer_id 'as the network names it',
    COMMENT COLUMN network_conversion_id 'the network''s own id of the conversion',
    COMMENT COLUMN status 'what the network says of it',
    COMMENT COLUMN sale_amount 'in currency; absent is not zero',
    COMMENT COLUMN payout 'amount or percentage, by the network',
    COMMENT COLUMN currency 'empty: the default of the network',
    COMMENT COLUMN converted_at 'the time that the network gives',
    COMMENT COLUMN heals 'position of the parked report that this one heals',
    COMMENT COLUMN heal_author 'operator or machine';

ALTER TABLE hissaback.v_decisions
    MODIFY COMMENT 'One row for each report: what was decided on it, taken alone';

ALTER TABLE hissaback.v_decisions
    COMMENT COLUMN event_id 'of the report',
    COMMENT COLUMN outcome 'matched, unmatched, ignored or poisoned',
    COMMENT COLUMN reason 'why it is unmatched or ignored',
    COMMENT COLUMN error 'why a poisoned record is unreadable',
    COMMENT COLUMN offer_id 'of the click',
    COMMENT COLUMN click_country 'of the click',
    COMMENT COLUMN tenant_version 'of the terms that were pinned, as of the click',
    COMMENT COLUMN campaign_version 'of the terms that were pinned, as of the click',
    COMMENT COLUMN offer_version 'of the terms that were pinned, as of the click',
    COMMENT COLUMN rules_version 'of the fraud rules, as of the receipt',
    COMMENT COLUMN score 'sum of the weights of its signals',
    COMMENT COLUMN signals 'what speaks against the report',
    COMMENT COLUMN self_purchase 'phone or email, where it equals a member''s',
    COMMENT COLUMN commission 'of this report taken alone',
    COMMENT COLUMN subsidy 'what the platform would add',
    COMMENT COLUMN fee 'what the platform would keep',
    COMMENT COLUMN user_part 'the shopper''s part',
    COMMENT COLUMN creator_part 'the creator''s part';

ALTER TABLE hissaback.v_claims
    MODIFY COMMENT 'One row for each claim (a sale of a click): its state in the ledger';

ALTER TABLE hissaback.v_claims
    COMMENT COLUMN status 'pending, review, confirmed, rejected, paid or reversed',
    COMMENT COLUMN reasons 'why it has that status, where it isn''t the network''s word alone',
    COMMENT COLUMN sale_amount 'in the reported currency; absent is not zero',
    COMMENT COLUMN currency 'of everything below',
    COMMENT COLUMN expected_commission 'what the network owes, or will',
    COMMENT COLUMN expected_subsidy 'what the platform adds',
    COMMENT COLUMN expected_fee 'what the platform keeps',
    COMMENT COLUMN expected_user 'the shopper''s part',
    COMMENT COLUMN expected_creator 'the creator''s part',
    COMMENT COLUMN posted_commission 'the same, as it stands in the books: nothing before it is confirmed, nothing after a clawback',
    COMMENT COLUMN posted_subsidy 'the same, as it stands in the books',
    COMMENT COLUMN posted_fee 'the same, as it stands in the books',
    COMMENT COLUMN posted_user 'the same, as it stands in the books',
    COMMENT COLUMN posted_creator 'the same, as it stands in the books',
    COMMENT COLUMN paid_amount 'how much of the shopper''s part was paid out';

ALTER TABLE hissaback.v_ledger_changes
    MODIFY COMMENT 'One row for each change of a claim. After a restore of the ledger a new epoch tells again what was lost with the old one: sum postings within one epoch only';

ALTER TABLE hissaback.v_ledger_changes
    COMMENT COLUMN epoch 'counts restores of the ledger',
    COMMENT COLUMN sequence 'of the change, within its epoch',
    COMMENT COLUMN status 'after the change',
    COMMENT COLUMN retired 'the claim goes by another name, or its reports moved away',
    COMMENT COLUMN posted_commission 'what stood in the books after it',
    COMMENT COLUMN posted_subsidy 'what stood in the books after it',
    COMMENT COLUMN posted_fee 'what stood in the books after it',
    COMMENT COLUMN posted_user 'what stood in the books after it',
    COMMENT COLUMN posted_creator 'what stood in the books after it',
    COMMENT COLUMN paid_amount 'what was paid out of the shopper''s part by then',
    COMMENT COLUMN posting_accounts 'what was posted by it, line by line',
    COMMENT COLUMN posting_users 'whose account, line by line',
    COMMENT COLUMN posting_currencies 'in which currency, line by line',
    COMMENT COLUMN posting_amounts 'how much, line by line; they add up to nothing';

ALTER TABLE hissaback.v_payouts
    MODIFY COMMENT 'One row for each payout, with the state that its steps add up to';

ALTER TABLE hissaback.v_payouts
    COMMENT COLUMN amount 'of the card',
    COMMENT COLUMN as_of 'of the run: only claims payable before it are in',
    COMMENT COLUMN method 'the rail: agcod',
    COMMENT COLUMN item_claims 'claims that it pays, one by one',
    COMMENT COLUMN item_amounts 'how much of each',
    COMMENT COLUMN state 'queued, or its newest step; funded and cancelled are final, whatever is told again after them',
    COMMENT COLUMN attempts 'calls to the rail';

ALTER TABLE hissaback.v_completeness
    MODIFY COMMENT 'How far each partition of the log is in: an answer is complete up to the least of its topic''s';

ALTER TABLE hissaback.v_completeness
    COMMENT COLUMN topic 'of the log',
    COMMENT COLUMN partition 'of the topic',
    COMMENT COLUMN next_offset 'every record below it is in',
    COMMENT COLUMN complete_up_to 'every record that the log took before it is in';
