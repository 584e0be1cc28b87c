"""From raw sources to training shards in five steps, on one machine or on the workers."""
