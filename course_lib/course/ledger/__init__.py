"""The claims ledger as data: read and validated, its evidence looked up."""
