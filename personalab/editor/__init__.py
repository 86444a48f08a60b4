"""The editor: a blueprint changed by hand, step by step, and the population that follows.

A session holds a history of steps. Each step has a name, the blueprint as it then was, and the source its people come
from: a start blueprint, a number of people and a seed. The people of a step depend on nothing else: they are drawn
from the start and carried over to the step's blueprint in one go, whichever way led there, so that a blueprint and a
seed reproduce an afternoon of edits.

The page asks by *commands*, plain dicts with an ``id`` and an ``op``, and is told by *answers*: a refusal, which
says why and after which nothing has changed, or a *patch*, which holds what has changed of the *state*, all that the
page shows. All but `widget` is plain Python and is tested without a browser.
"""
