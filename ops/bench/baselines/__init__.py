"""What a good engineer would write by hand with other tools: each a process, each for the same job.

Nothing here is imported by the product, and nothing of the product is imported here: some of these run
in an environment of their own, which has their engine and not ours.
"""
