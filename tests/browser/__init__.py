"""The editor in a real browser: its module alone in a blank page, and in JupyterLab."""
