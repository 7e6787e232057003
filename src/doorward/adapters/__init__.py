"""One file for each technology; only `app.py` imports them."""
