"""kzoo: a Keras 3 model zoo for people, scenes and cameras.

`kzoo.tasks.TASKS` is the whole zoo at a glance. This file imports nothing, so that data-set workers start fast.
"""


class UserError(Exception):
    """A user's mistake, told in one line: what was wrong, what was received, what is allowed. Ends a program with exit
    code 2."""
