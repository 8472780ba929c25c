"""OpenS2V-Eval, the benchmark of the paper: prompts, metrics, scores, leaderboard."""
