"""How fast it is, as ratios against what a user would run instead: same machine, same model, same run."""
