"""The fitness app: notes with pictures, exercises and a leaderboard, with sign-in by Doorward.

What a student team's write-up asks for, done right (docs/write-up.md). It is meant to be copied.

    app.py        the API: routes, each of which reads, does one thing, and answers
    store.py      the app's own tables; SQLite, or PostgreSQL by one setting
    users.py      what the app asks Doorward, with its API key: records, coins, the leaderboard, events
    pictures.py   files that people uploaded
    goodbyes.py   what happens when a user was deleted at Doorward
    reading.py    what people sent, checked
    settings.py   where everything is
    importing.py  brings notes along from the write-up's database: `python -m fitness.import`
    web.py        serves the front end, on an origin of its own
    demo.py       `make demo`: all of it on this machine
"""
