"""Blueprints: a Bayesian network over a population's fields, with constraints, as a frozen value.

`model` holds the fields and the value itself, `conditionals` which conditional distribution applies under which parent
configuration, `constraints` the rules that every member obeys, `moments` numbers that keep mean, sd and range,
`validation` everything wrong or doubtful in a blueprint, and `display` how it shows itself.
"""
