"""The Faust app: settings, batch transport, agents, sweep, outbox relay, learner, dead letters."""
