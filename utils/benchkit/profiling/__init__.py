"""Where the gateway's time goes: what py-spy sampled while a case ran, turned into shares, stalls and a flame graph.

``recorder`` starts and stops the sampler, ``samples`` reads what it wrote; the rest is arithmetic over samples.
"""
