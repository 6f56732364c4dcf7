-- Rows of a network's list that name neither a click of ours nor an order are matched by the network's
-- own conversion id (docs/reconcile.md).
CREATE INDEX conversions_network_id ON conversions (network_conversion_id)
    WHERE network_conversion_id IS NOT NULL;
