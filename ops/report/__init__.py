"""`everscore report`: a customer base drawn, in one file that needs no network."""
