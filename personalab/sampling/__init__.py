"""Sampling: ancestral sampling within strata.

`sample` draws a population by a `plan`, field by field in the network's order: `configurations` says which rows are
alike, `strata` what each stratum's distribution is under the `restrictions` that constraints put on it,
`apportionment` turns shares into whole counts, `assignment` says which row gets which value, and `draw` does all this
for one field. `resampling` helps rows that constraints leave in a dead end, `dask` draws the same rows past one
machine's memory.
"""
