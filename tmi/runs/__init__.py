"""Runs: plan, store and engine give results."""
