"""What the command line can do: one module for each command, its `run` gives the exit code.

serve, check    the gateway, and its configuration
demo            the main job on one machine
translate       one message into the other form
simulate        a Charge Point, a Central System
arguments       what may be said on the command line
signals         how what stays up is stopped
"""
