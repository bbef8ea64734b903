"""Profiles of the gateway: py-spy's samples of a case's load, turned into shares, stalls and a flame graph.

``recorder`` starts and stops the sampler, ``samples`` reads its output; the other modules are arithmetic over samples.
"""
