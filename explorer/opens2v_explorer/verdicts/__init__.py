"""What reviewers decided: a log of events, and what stands."""
