-- What the aggregates' views and columns mean; see 0004.

ALTER TABLE hissaback.v_hourly_clicks
    MODIFY COMMENT 'Clicks by hour of the click';

ALTER TABLE hissaback.v_daily_clicks
    MODIFY COMMENT 'Clicks by day of the click';

ALTER TABLE hissaback.v_hourly_conversions
    MODIFY COMMENT 'Claims and their money by hour of the click';

ALTER TABLE hissaback.v_daily_conversions
    MODIFY COMMENT 'Claims and their money by day of the click';

ALTER TABLE hissaback.v_hourly_performance
    MODIFY COMMENT 'Clicks beside claims, by hour of the click: rows of clicks have no currency, rows of claims no clicks, so that they are added up';

ALTER TABLE hissaback.v_daily_performance
    MODIFY COMMENT 'Clicks beside claims, by day of the click: rows of clicks have no currency, rows of claims no clicks, so that they are added up';

ALTER TABLE hissaback.v_daily_campaigns
    MODIFY COMMENT 'Each campaign by day of the click and currency, with its rates';

ALTER TABLE hissaback.v_funnel
    MODIFY COMMENT 'From the click to the payout, by campaign and day of the click';

ALTER TABLE hissaback.v_daily_reasons
    MODIFY COMMENT 'Claims by the reason of their status: a claim with two reasons is in two rows';

ALTER TABLE hissaback.v_daily_fraud
    MODIFY COMMENT 'The same, of the reasons that speak of fraud';

ALTER TABLE hissaback.v_daily_sale_times
    MODIFY COMMENT 'Claims by the time from click to sale';

ALTER TABLE hissaback.v_daily_confirmation_times
    MODIFY COMMENT 'Claims by the time from sale to confirmation';

ALTER TABLE hissaback.v_reversal_curve
    MODIFY COMMENT 'What of a cohort was reversed up to an age: the claims on the clicks of one day that were ever confirmed';

ALTER TABLE hissaback.v_aggregate_completeness
    MODIFY COMMENT 'How far each partition of the log is in the aggregates';

ALTER TABLE hissaback.v_attribution
    MODIFY COMMENT 'One row for each claim and touch on its shopper''s way to it, with the touch''s credit by four models: for analysis only, who is paid is the claim''s own click';

ALTER TABLE hissaback.v_attribution_credits
    MODIFY COMMENT 'The same, one row for each touch and model';

ALTER TABLE hissaback.v_aggregate_completeness
    COMMENT COLUMN topic 'of the log',
    COMMENT COLUMN partition 'of the topic',
    COMMENT COLUMN next_offset 'every record below it is in the aggregates',
    COMMENT COLUMN complete_up_to 'every record that the log took before it is in the aggregates';

ALTER TABLE hissaback.v_attribution
    COMMENT COLUMN commission 'that stands in the books for the claim',
    COMMENT COLUMN touch_number 'counts the touches, from the earliest',
    COMMENT COLUMN touch_count 'how many there are',
    COMMENT COLUMN status 'of the claim',
    COMMENT COLUMN paid_for 'whether it is the click that the ledger pays for',
    COMMENT COLUMN first_click 'all to the earliest touch',
    COMMENT COLUMN last_click 'all to the latest touch',
    COMMENT COLUMN linear 'evenly',
    COMMENT COLUMN time_decay 'a touch counts twice as much as one 7 days before it';

ALTER TABLE hissaback.v_attribution_credits
    COMMENT COLUMN commission 'that stands in the books for the claim',
    COMMENT COLUMN touch_number 'counts the touches, from the earliest',
    COMMENT COLUMN touch_count 'how many there are',
    COMMENT COLUMN status 'of the claim',
    COMMENT COLUMN paid_for 'whether it is the click that the ledger pays for',
    COMMENT COLUMN model 'first_click, last_click, linear or time_decay',
    COMMENT COLUMN credit 'what of the commission the model gives the touch; over the touches it adds up to the commission';

ALTER TABLE hissaback.v_daily_campaigns
    COMMENT COLUMN clicks 'all of them',
    COMMENT COLUMN bot_clicks 'of them, those of known bots',
    COMMENT COLUMN conversions 'claims, whatever their status',
    COMMENT COLUMN approved 'claims confirmed or paid',
    COMMENT COLUMN rejected 'claims of that status',
    COMMENT COLUMN reversed 'claims of that status',
    COMMENT COLUMN orders 'approved, with a known sale amount',
    COMMENT COLUMN order_value 'sale amounts of the orders',
    COMMENT COLUMN gross_commission 'as decided, whatever the status',
    COMMENT COLUMN net_commission 'what stands in the books',
    COMMENT COLUMN platform_fee 'what the platform keeps, in the books',
    COMMENT COLUMN subsidy 'what the platform adds, in the books',
    COMMENT COLUMN user_earnings 'the shoppers'' parts, in the books',
    COMMENT COLUMN creator_earnings 'the creators'' parts, in the books',
    COMMENT COLUMN conversion_rate 'conversions per human click',
    COMMENT COLUMN approval_rate 'approved of those that were decided on',
    COMMENT COLUMN earnings_per_click 'net commission per human click',
    COMMENT COLUMN average_order 'order value per order';

ALTER TABLE hissaback.v_hourly_clicks
    COMMENT COLUMN clicks 'all of them',
    COMMENT COLUMN bot_clicks 'of them, those of known bots';

ALTER TABLE hissaback.v_hourly_conversions
    COMMENT COLUMN conversions 'claims, whatever their status',
    COMMENT COLUMN pending 'claims of that status',
    COMMENT COLUMN in_review 'claims of that status',
    COMMENT COLUMN confirmed 'claims of that status',
    COMMENT COLUMN paid 'claims of that status',
    COMMENT COLUMN rejected 'claims of that status',
    COMMENT COLUMN reversed 'claims of that status',
    COMMENT COLUMN approved 'claims confirmed or paid',
    COMMENT COLUMN orders 'approved, with a known sale amount',
    COMMENT COLUMN order_value 'sale amounts of the orders',
    COMMENT COLUMN gross_commission 'as decided, whatever the status',
    COMMENT COLUMN net_commission 'what stands in the books',
    COMMENT COLUMN expected_user 'the shoppers'' parts as decided, whatever the status',
    COMMENT COLUMN expected_creator 'the creators'' parts as decided, whatever the status',
    COMMENT COLUMN subsidy 'what the platform adds, in the books',
    COMMENT COLUMN platform_fee 'what the platform keeps, in the books',
    COMMENT COLUMN user_earnings 'the shoppers'' parts, in the books',
    COMMENT COLUMN creator_earnings 'the creators'' parts, in the books',
    COMMENT COLUMN paid_amount 'what of the shoppers'' parts was paid out',
    COMMENT COLUMN reasons 'claims by reason of status',
    COMMENT COLUMN reason_commission 'commission as decided, by reason of status',
    COMMENT COLUMN sale_seconds 'from click to sale, all claims together',
    COMMENT COLUMN sale_times 'claims by upper bound of the seconds from click to sale',
    COMMENT COLUMN ever_confirmed 'claims that were confirmed, now or before',
    COMMENT COLUMN ever_commission 'the most that was posted of them',
    COMMENT COLUMN confirmation_seconds 'from sale to confirmation, all of these together',
    COMMENT COLUMN confirmation_times 'claims by upper bound of the seconds from sale to confirmation',
    COMMENT COLUMN reversals 'reversed claims by days since the sale',
    COMMENT COLUMN reversed_commission 'of what was posted, that of reversed claims by days since the sale';

ALTER TABLE hissaback.v_hourly_performance
    COMMENT COLUMN clicks 'all of them',
    COMMENT COLUMN bot_clicks 'of them, those of known bots',
    COMMENT COLUMN conversions 'claims, whatever their status',
    COMMENT COLUMN approved 'claims confirmed or paid',
    COMMENT COLUMN rejected 'claims of that status',
    COMMENT COLUMN reversed 'claims of that status',
    COMMENT COLUMN orders 'approved, with a known sale amount',
    COMMENT COLUMN order_value 'sale amounts of the orders',
    COMMENT COLUMN gross_commission 'as decided, whatever the status',
    COMMENT COLUMN net_commission 'what stands in the books',
    COMMENT COLUMN platform_fee 'what the platform keeps, in the books',
    COMMENT COLUMN subsidy 'what the platform adds, in the books',
    COMMENT COLUMN user_earnings 'the shoppers'' parts, in the books',
    COMMENT COLUMN creator_earnings 'the creators'' parts, in the books';

ALTER TABLE hissaback.v_daily_clicks
    COMMENT COLUMN clicks 'all of them',
    COMMENT COLUMN bot_clicks 'of them, those of known bots';

ALTER TABLE hissaback.v_daily_conversions
    COMMENT COLUMN conversions 'claims, whatever their status',
    COMMENT COLUMN pending 'claims of that status',
    COMMENT COLUMN in_review 'claims of that status',
    COMMENT COLUMN confirmed 'claims of that status',
    COMMENT COLUMN paid 'claims of that status',
    COMMENT COLUMN rejected 'claims of that status',
    COMMENT COLUMN reversed 'claims of that status',
    COMMENT COLUMN approved 'claims confirmed or paid',
    COMMENT COLUMN orders 'approved, with a known sale amount',
    COMMENT COLUMN order_value 'sale amounts of the orders',
    COMMENT COLUMN gross_commission 'as decided, whatever the status',
    COMMENT COLUMN net_commission 'what stands in the books',
    COMMENT COLUMN expected_user 'the shoppers'' parts as decided, whatever the status',
    COMMENT COLUMN expected_creator 'the creators'' parts as decided, whatever the status',
    COMMENT COLUMN subsidy 'what the platform adds, in the books',
    COMMENT COLUMN platform_fee 'what the platform keeps, in the books',
    COMMENT COLUMN user_earnings 'the shoppers'' parts, in the books',
    COMMENT COLUMN creator_earnings 'the creators'' parts, in the books',
    COMMENT COLUMN paid_amount 'what of the shoppers'' parts was paid out',
    COMMENT COLUMN reasons 'claims by reason of status',
    COMMENT COLUMN reason_commission 'commission as decided, by reason of status',
    COMMENT COLUMN sale_seconds 'from click to sale, all claims together',
    COMMENT COLUMN sale_times 'claims by upper bound of the seconds from click to sale',
    COMMENT COLUMN ever_confirmed 'claims that were confirmed, now or before',
    COMMENT COLUMN ever_commission 'the most that was posted of them',
    COMMENT COLUMN confirmation_seconds 'from sale to confirmation, all of these together',
    COMMENT COLUMN confirmation_times 'claims by upper bound of the seconds from sale to confirmation',
    COMMENT COLUMN reversals 'reversed claims by days since the sale',
    COMMENT COLUMN reversed_commission 'of what was posted, that of reversed claims by days since the sale';

ALTER TABLE hissaback.v_daily_performance
    COMMENT COLUMN clicks 'all of them',
    COMMENT COLUMN bot_clicks 'of them, those of known bots',
    COMMENT COLUMN conversions 'claims, whatever their status',
    COMMENT COLUMN approved 'claims confirmed or paid',
    COMMENT COLUMN rejected 'claims of that status',
    COMMENT COLUMN reversed 'claims of that status',
    COMMENT COLUMN orders 'approved, with a known sale amount',
    COMMENT COLUMN order_value 'sale amounts of the orders',
    COMMENT COLUMN gross_commission 'as decided, whatever the status',
    COMMENT COLUMN net_commission 'what stands in the books',
    COMMENT COLUMN platform_fee 'what the platform keeps, in the books',
    COMMENT COLUMN subsidy 'what the platform adds, in the books',
    COMMENT COLUMN user_earnings 'the shoppers'' parts, in the books',
    COMMENT COLUMN creator_earnings 'the creators'' parts, in the books';

ALTER TABLE hissaback.v_funnel
    COMMENT COLUMN clicks 'all of them',
    COMMENT COLUMN human_clicks 'those that are not of known bots',
    COMMENT COLUMN conversions 'claims, whatever their status',
    COMMENT COLUMN approved 'claims confirmed or paid',
    COMMENT COLUMN paid 'claims of that status';

ALTER TABLE hissaback.v_daily_reasons
    COMMENT COLUMN reason 'why a claim has its status',
    COMMENT COLUMN claims 'how many',
    COMMENT COLUMN commission 'as decided, of these claims';

ALTER TABLE hissaback.v_daily_fraud
    COMMENT COLUMN reason 'why a claim has its status',
    COMMENT COLUMN claims 'how many',
    COMMENT COLUMN commission 'as decided, of these claims';

ALTER TABLE hissaback.v_daily_sale_times
    COMMENT COLUMN up_to_seconds 'upper bound of the time; claims of the bucket take no longer',
    COMMENT COLUMN claims 'how many';

ALTER TABLE hissaback.v_daily_confirmation_times
    COMMENT COLUMN up_to_seconds 'upper bound of the time; claims of the bucket take no longer',
    COMMENT COLUMN claims 'how many';

ALTER TABLE hissaback.v_reversal_curve
    COMMENT COLUMN cohort 'day of the clicks',
    COMMENT COLUMN confirmed 'claims of the cohort, ever confirmed',
    COMMENT COLUMN confirmed_commission 'the most that was posted of them',
    COMMENT COLUMN age_days 'days since the sale',
    COMMENT COLUMN reversed 'claims reversed up to that age',
    COMMENT COLUMN reversed_commission 'what had been posted of those',
    COMMENT COLUMN reversal_rate 'reversed of confirmed';

ALTER TABLE hissaback.hourly_conversions
    COMMENT COLUMN pending 'claims of that status',
    COMMENT COLUMN in_review 'claims of that status',
    COMMENT COLUMN confirmed 'claims of that status',
    COMMENT COLUMN paid 'claims of that status',
    COMMENT COLUMN rejected 'claims of that status',
    COMMENT COLUMN reversed 'claims of that status',
    COMMENT COLUMN expected_subsidy 'as decided, whatever the status',
    COMMENT COLUMN expected_fee 'as decided, whatever the status',
    COMMENT COLUMN expected_user 'the shoppers'' parts as decided, whatever the status',
    COMMENT COLUMN expected_creator 'the creators'' parts as decided, whatever the status',
    COMMENT COLUMN posted_subsidy 'what stands in the books',
    COMMENT COLUMN posted_fee 'what stands in the books',
    COMMENT COLUMN posted_user 'what stands in the books',
    COMMENT COLUMN posted_creator 'what stands in the books',
    COMMENT COLUMN paid_amount 'what of the shoppers'' parts was paid out';

ALTER TABLE hissaback.daily_conversions
    COMMENT COLUMN pending 'claims of that status',
    COMMENT COLUMN in_review 'claims of that status',
    COMMENT COLUMN confirmed 'claims of that status',
    COMMENT COLUMN paid 'claims of that status',
    COMMENT COLUMN rejected 'claims of that status',
    COMMENT COLUMN reversed 'claims of that status',
    COMMENT COLUMN expected_subsidy 'as decided, whatever the status',
    COMMENT COLUMN expected_fee 'as decided, whatever the status',
    COMMENT COLUMN expected_user 'the shoppers'' parts as decided, whatever the status',
    COMMENT COLUMN expected_creator 'the creators'' parts as decided, whatever the status',
    COMMENT COLUMN posted_subsidy 'what stands in the books',
    COMMENT COLUMN posted_fee 'what stands in the books',
    COMMENT COLUMN posted_user 'what stands in the books',
    COMMENT COLUMN posted_creator 'what stands in the books',
    COMMENT COLUMN paid_amount 'what of the shoppers'' parts was paid out';

ALTER TABLE hissaback.aggregate_positions
    COMMENT COLUMN topic 'of the log',
    COMMENT COLUMN partition 'of the topic';

ALTER TABLE hissaback.v_totals
    MODIFY COMMENT 'The same totals three times: of the events themselves, and of their aggregates by hour and by day';

ALTER TABLE hissaback.v_totals
    COMMENT COLUMN level 'events, hours or days: what was added up',
    COMMENT COLUMN clicks 'all of them; rows of clicks have no currency',
    COMMENT COLUMN bot_clicks 'of them, those of known bots',
    COMMENT COLUMN conversions 'claims, whatever their status',
    COMMENT COLUMN pending 'claims of that status',
    COMMENT COLUMN in_review 'claims of that status',
    COMMENT COLUMN confirmed 'claims of that status',
    COMMENT COLUMN paid 'claims of that status',
    COMMENT COLUMN rejected 'claims of that status',
    COMMENT COLUMN reversed 'claims of that status',
    COMMENT COLUMN gross_commission 'as decided, whatever the status',
    COMMENT COLUMN net_commission 'what stands in the books',
    COMMENT COLUMN subsidy 'what the platform adds, in the books',
    COMMENT COLUMN platform_fee 'what the platform keeps, in the books',
    COMMENT COLUMN user_earnings 'the shoppers'' parts, in the books',
    COMMENT COLUMN creator_earnings 'the creators'' parts, in the books',
    COMMENT COLUMN paid_amount 'what of the shoppers'' parts was paid out';
