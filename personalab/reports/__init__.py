"""Reports: how closely a population follows its blueprint.

`report` compares, by the yardsticks of `fidelity`; `diversity` says how different the texts are; `values` hold the
figures, and `text` says them in words.
"""
