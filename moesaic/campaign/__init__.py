"""Many independent cases, each kept by content: run by processes of this machine, or by the workers of a Dask cluster.

Benchmark, results, estimate checks, explorations and verification are campaigns. What a worker gets is a function and its arguments, so a
cluster has to be one of machines and of a network that are trusted (https://distributed.dask.org/en/stable/limitations.html).
"""
