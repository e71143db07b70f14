"""Whatever a stranger sends is a message or an error of ours.

`make fuzz` runs the targets under atheris, guided by what they reach; `make test` runs the same ones with what
Hypothesis finds.
"""
