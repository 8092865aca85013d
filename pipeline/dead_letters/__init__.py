"""Dead letters that come back: found, shown, and sent into the pipeline once more, each at most once."""
