"""The course's own machinery: ledger, calculators, cards, labs, command line."""
