"""Dashboards as code: `dashboards.py` says what is shown, `panels.py` how Grafana writes it.

`make dashboards` writes the files in `dashboards/`; a test compares them, and sees that every metric in them exists.
"""
