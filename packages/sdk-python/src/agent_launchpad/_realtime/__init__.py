"""Listening: one event loop's worth of code, used by both clients.

socket.py      the Phoenix protocol over one WebSocket
shared.py      the one socket of a client, opened and closed as it is needed
cursor.py      which rows are new (pure)
feed.py        what every feed does: join, catch up, go on; again after a lost connection
agent.py       everything that happens to one agent
recent.py      security events and messages, with the replies on their way
"""
