"""Doorward as an OpenID provider: clients, authorisation, tokens for apps, and what tells apps that these are over."""
