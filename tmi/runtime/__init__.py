"""The process: the guard around plug-in calls, seeds, threads, time limits, signals, progress, formatting, style of figures."""
