"""The commands of the command line. Each has a module, whose function `run` returns the exit code.

serve           run the gateway
check           check the configuration, with the help of `trial`
backup          copy the store
password        hash a password, or make a token for a Charge Point
token           print the token of the admin API
demo            show a charging session on one machine
translate       translate one message between SOAP and JSON
simulate        simulate a Charge Point or a Central System
sessions        list the Charge Points of a running gateway
charge_points   remove Charge Points from a running gateway, import and export their settings
call            send a command to a Charge Point
trace           show, follow or export recorded messages
replay          send a recorded trace again
completion      print a completion script for the shell

arguments       the parser of the command line
asking          the client of the admin API
signals         stop at SIGINT and SIGTERM
workers         start the bridge as several processes
reloading       reload the configuration on request
notify          report the state of the service to systemd
terminal        print texts of unknown parties safely
"""
