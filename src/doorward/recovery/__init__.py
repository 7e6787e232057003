"""Coming back without a password. Nobody learns whether there is an account; nobody is signed in by it."""
