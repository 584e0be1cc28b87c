"""Reading raw sources of any kind into the common columns."""
