"""What the worker costs beside what one would use instead, measured in one run and checked."""
