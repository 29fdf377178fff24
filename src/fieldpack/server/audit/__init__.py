"""Who did or saw what: entries beside each write and read of personal data, chained by hashes within a second."""
