"""Sampling: ancestral sampling within strata.

`sample` draws a population, field by field in the network's order; `configurations` says which rows share a
distribution, `apportionment` turns shares into whole counts, `assignment` says which row gets which value, and
`draw` does the three for one field. `resampling` helps rows that constraints leave in a dead end, `dask` draws the
same rows past one machine's memory.
"""
