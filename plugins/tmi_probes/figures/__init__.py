"""Figures of probe results, a file a question, and what they share in `common`.

A figure function takes the results of one probe by the networks' names, and the networks' origins by the same names, which
decide the colours.
"""
