"""Writing Redis anew as the log has it, while everybody goes on asking it."""
