"""What cameras send: one pure module a vendor, from a decoded payload to reads, or to the reason why there are none.

A parser has an allow-list. A field that it does not name is never looked at, so nothing about a person, and no
picture, can get past it.
"""
