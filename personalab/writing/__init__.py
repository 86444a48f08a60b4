"""Writing: the texts that only a model can say, a call a person, and what is rendered from them.

`roster` knows who is written and who is not, `write` asks for the texts, `consistency` holds them against the row,
`profiles` renders system prompt and Markdown, `similarity` finds texts that are nearly the same, and `estimates` tells
beforehand what all of it would use.
"""
