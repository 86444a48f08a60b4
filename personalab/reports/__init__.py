"""Reports: how closely a population follows its blueprint.

`report` compares, by the yardsticks of `fidelity`; `associations` looks for pairs that go together and should not,
`interactions` for triples; `diversity` says how different the texts are; `values` hold the figures, `text` the words.
"""
