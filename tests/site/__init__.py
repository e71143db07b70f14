"""Tests of the site: `docs/`, the README and `mkdocs.yml`.

pages        the pages, and the blocks of code in them
generated    the parts of pages that are made from the code; `python -m tests.site` writes them
keys, command_line, admin_api, metrics, reasons, glossary
             make those parts
log_lines    the messages of the log, found in the source
markdown     write tables
"""
