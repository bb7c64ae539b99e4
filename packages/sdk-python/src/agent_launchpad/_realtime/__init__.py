"""Watching an agent: one event loop's worth of code, used by both clients.

socket.py   the Phoenix protocol over one WebSocket
shared.py   the one socket of a client, opened and closed as it is needed
cursor.py   which rows are new (pure)
feed.py     one agent: join, catch up, go on; again after a lost connection
"""
