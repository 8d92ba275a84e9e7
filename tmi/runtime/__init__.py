"""The process: seeds, threads, time limits, signals, progress, formatting and the style of figures."""
