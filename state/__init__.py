"""Redis: keys, codec, scripts, loading and committing; and the in-memory twin."""
