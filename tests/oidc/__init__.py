"""The sign-in of operators, with a provider on a real socket that signs ID tokens, and lies where it is told to."""
