"""Writing: the texts that only a model can say, a call a person, and what is rendered from them.

`roster` knows who is written and who is not, `write` asks for the texts, `consistency` holds them against the facts,
`profiles` renders system prompt and sheet, `diversity` measures how alike texts are, and `estimates` tells beforehand
what all of it would use.
"""
