"""The page that a browser shows when a sign-in is refused. It holds no script."""

from __future__ import annotations

from html import escape

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sign-in refused · ocpp-bridge</title>
<link rel="icon" href="/console/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/console/base.css">
<link rel="stylesheet" href="/console/pages.css">
</head>
<body>
<main>
<div class="card login">
<h1>Sign-in refused</h1>
<p class="wrong" role="alert">{reason}</p>
<p><a href="/#/login">Back to the login page</a></p>
<p class="quiet">The log of the bridge has a line about this. A token is accepted as before.</p>
</div>
</main>
</body>
</html>
"""


def refusal_page(reason: str) -> str:
    """Return the page. `reason` is a sentence without a capital letter and a full stop."""
    return _PAGE.format(reason=escape(f"{reason[:1].upper()}{reason[1:]}."))
