"""`everscore serve`: customers, segments and changes over HTTP, read-only beside the workers.

The rooms: `gate` lets in or not, `routes` answer, `view` decides what of it the caller may see,
`changes_memory`, `census` and `watch` know what Redis alone cannot tell, `app` joins them.
"""
