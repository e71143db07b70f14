"""What the command line can do: one module for each command, its `run` gives the exit code.

serve, check    the gateway, and its configuration
demo            the main job on one machine
translate       one message into the other form
simulate        a Charge Point, a Central System
sessions, call  ask a running gateway, and steer a Charge Point
completion      a script for the shell
asking          the client of the admin API that those use
arguments       what may be said on the command line
signals         how what stays up is stopped
"""
