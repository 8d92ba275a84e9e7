"""Runs: execute a plan with a store and an engine, and return the results; progress and estimates."""
