"""The commands, as systemd and a shell see them."""
