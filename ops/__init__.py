"""What serves a person: command line, embedded stack, loaders."""
