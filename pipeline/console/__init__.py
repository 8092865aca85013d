"""The console: one page that shows a pipeline live, served to this machine's own browsers."""
