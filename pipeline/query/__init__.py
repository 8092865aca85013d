"""The read side: what a worker's tables hold, over HTTP, from whichever worker is asked."""
