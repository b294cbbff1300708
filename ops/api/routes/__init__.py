"""What answers: one room for each kind of question."""
