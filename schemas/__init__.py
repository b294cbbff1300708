"""What crosses a boundary: events, scorecard, errors. Imports none of ours."""
