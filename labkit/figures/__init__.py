"""Pictures of records: pure functions from a record to a matplotlib figure, without pyplot."""
