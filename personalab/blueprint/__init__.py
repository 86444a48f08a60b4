"""Blueprints: a Bayesian network over a population's fields, with constraints, as a frozen value.

`shape` says what its parts are made of, `model` holds the fields and the value itself, `building` writes one in a few
words, `files` reads and writes it, `diff` tells two apart and `display` shows one. `conditionals` says which
distribution holds under which parent configuration, `constraints`, `resolution` and `intervals` what constraints mean,
`moments` keeps a number's mean, sd and range, to the last bit by `portable_math`, and `grouping` numbers equal rows.
`validation` finds everything wrong or doubtful: `reachable` tells it who there can be, `limits` what is too large.
"""
