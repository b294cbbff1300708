"""`everscore backtest`: what would have been predicted, what came, and what the stream would have told."""
