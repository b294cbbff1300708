"""What a log must come to, in plain Python that shares no code with the workers.

Benchmarks and the fault matrix ask it; nothing here imports anything of ours.
"""
