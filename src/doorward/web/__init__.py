"""HTTP that every room shares.

Routes declare operations (`routing`), the gate (`gate`) lets requests through, problems become answers (`problems`),
and people get pages (`pages`, `forms`). Only this package and the rooms' `routes.py` know the HTTP framework.
"""
