"""Pure numbers: ledger, P(alive), segments, review times, `advance()`. `now` is an argument."""
